package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubDownload;
import dev.gyre.trainer.hub.HubException;
import dev.gyre.trainer.hub.HubName;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre download`: a model of the Hugging Face hub into the cache.
@Command(name = "download",
        description = "Download a model, or an adapter, from the Hugging Face hub into its cache, where Python's tools find it as well; the name can then be used wherever a model is asked for. What was broken off goes on, every file is held against its hash, and only what Gyre needs is fetched (safetensors, configuration, tokenizer). Of a repository of GGUF files, name the one to fetch: ORG/NAME/FILE.gguf.",
        footer = {"",
            "HF_TOKEN: a token for private and gated models. HF_HUB_CACHE, HF_HOME: where the cache is. HF_ENDPOINT: a",
            "mirror. HF_HUB_OFFLINE=1: never ask the hub. HTTPS_PROXY, NO_PROXY: how to reach it."})
final class DownloadCommand extends GyreCommand {
    @Parameters(index = "0", paramLabel = "NAME",
            description = "Such as Qwen/Qwen3-0.6B, or a GGUF file: Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    String name;

    @Option(names = "--revision", paramLabel = "REVISION", description = "Branch, tag or commit (default: main).")
    @Nullable
    String revision;

    @Override
    protected int run() {
        HubName.GgufName gguf = HubName.GgufName.of(name);
        HubName wanted = gguf == null ? HubName.require(name) : gguf.model();
        if (revision != null)
            wanted = wanted.at(revision);
        HubName.GgufName file = gguf == null ? null : new HubName.GgufName(wanted, gguf.file());
        Path at;
        try (HubDownload d = new HubDownload(Hub.settings(), new HubScreen(screen()))) {
            HubDownload.Listing l = listing(d, wanted, file);
            if (l == null) {
                at = Objects.requireNonNull(cached(wanted, file));
            } else {
                screen().line("downloading " + wanted + ", revision " + l.commit().substring(0, 7) + ": "
                        + Text.many(l.files(), "file") + ", " + Text.bytes(l.bytes())
                        + (l.rest() == l.bytes() ? ""
                                : l.rest() == 0 ? ", all of it here already" : ", " + Text.bytes(l.rest()) + " to come")
                        + HubScreen.licence(l));
                at = new HubScreen(screen()).fetch(d, l);
                if (file != null)
                    at = at.resolve(file.file());
            }
        }
        screen().done();
        screen().result((file == null ? wanted : file) + " is in " + at);
        screen().line("try it: " + Version.called() + " init --model " + (file == null ? wanted : file)
                + " --data FILE.jsonl");
        return ExitCode.OK;
    }

    private static @Nullable Path cached(HubName wanted, HubName.@Nullable GgufName file) {
        return file == null ? Hub.cached(wanted) : Hub.cached(file);
    }

    /// What the hub has; null where it cannot be asked and all of the model is here, which is said.
    private HubDownload.@Nullable Listing listing(HubDownload d, HubName wanted, HubName.@Nullable GgufName file) {
        try {
            return d.list(wanted, file == null ? null : file.file());
        } catch (HubException | UncheckedIOException e) {
            if (cached(wanted, file) == null || e instanceof HubException && !Hub.settings().offline())
                throw e;
            screen().note("note: " + Errors.message(e) + "; the copy in the cache may be older than the hub's");
            return null;
        }
    }
}
