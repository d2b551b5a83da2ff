package dev.gyre.trainer.cli;

import dev.gyre.kernels.GyreException;
import dev.gyre.model.family.HfConfig;
import dev.gyre.model.files.Json;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubDownload;
import dev.gyre.trainer.hub.HubException;
import dev.gyre.trainer.hub.HubName;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// What a user sees of the hub: the question before a download, and how it goes.
final class HubScreen implements Hub.Guide, HubDownload.Listener {
    private final Screen screen;
    private final long begun = System.nanoTime();

    HubScreen(Screen screen) {
        this.screen = screen;
    }

    @Override
    public void note(String text) {
        screen.note(text);
    }

    @Override
    public String called() {
        return Version.called();
    }

    @Override
    public @Nullable Path download(HubName name) {
        if (!screen.canAsk())
            return null;
        try (HubDownload d = new HubDownload(Hub.settings(), new HubScreen(screen))) {
            HubDownload.Listing l = listing(d, name);
            return screen.confirm(name + " is not here. Download " + Text.bytes(l.rest()) + " into "
                    + Hub.settings().cache() + licence(l) + "?") ? fetch(d, l) : null;
        }
    }

    /// A path with a slip of the pen looks like a name.
    private static HubDownload.Listing listing(HubDownload d, HubName name) {
        String here = name + ": no such directory here, nor a model of that name in the cache, and ";
        try {
            return d.list(name);
        } catch (HubException e) {
            throw new HubException(here + e.getMessage());
        } catch (UncheckedIOException e) {
            throw new UncheckedIOException(new IOException(here + Errors.message(e), e));
        }
    }

    static String licence(HubDownload.Listing l) {
        return l.licence().isEmpty() ? "" : " (licence " + l.licence() + ")";
    }

    Path fetch(HubDownload d, HubDownload.Listing l) {
        try {
            return d.fetch(l);
        } finally {
            screen.done();
        }
    }

    @Override
    public void waiting(String why) {
        screen.status(why);
    }

    @Override
    public void progress(long done, long all, long fetched, int files, int of) {
        double rate = fetched / Math.max(0.2, (System.nanoTime() - begun) / 1e9);
        screen.status(Text.bytes(done) + " of " + Text.bytes(all) + " · " + files + " of " + Text.many(of, "file")
                + (fetched == 0 ? ""
                        : " · " + Text.bytes(Math.round(rate)) + "/s · eta " + Text.time((all - done) / rate)));
    }

    @Override
    public void config(Path file) {
        try {
            HfConfig.parse(file, Json.readObject(file));
        } catch (GyreException e) {
            screen.note("note: Gyre cannot train this model: " + e.getMessage());
        }
    }
}
