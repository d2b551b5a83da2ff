package dev.gyre.trainer.hub;

import dev.gyre.model.format.GgufDir;
import dev.gyre.model.gguf.GgufFile;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// A name of the hub wherever a model's path may stand. A path that is there always wins; else the model is looked for in the
/// cache, without a network; else whoever runs the program may be asked whether to download it.
public final class Hub {
    private static final ScopedValue<Hub> CURRENT = ScopedValue.newInstance();

    /// What is between us and the user.
    public interface Guide {
        /// A remark.
        void note(String text);

        /// How the program is called on this machine: `./gyre`.
        String called();

        /// Asks the user, who may not be there, whether to download the model, and does it.
        ///
        /// @return the snapshot; null where nobody can be asked, or the answer was no
        @Nullable
        Path download(HubName name);
    }

    /// Asks and says nothing.
    private static final Guide SILENT = new Guide() {
        @Override
        public void note(String text) {
            // a library has no screen
        }

        @Override
        public String called() {
            return "gyre";
        }

        @Override
        public @Nullable Path download(HubName name) {
            return null;
        }
    };

    private final Supplier<HubSettings> given;
    private final Guide guide;
    private final Set<Path> told = new HashSet<>();
    private @Nullable HubSettings settings;

    private Hub(Supplier<HubSettings> given, Guide guide) {
        this.given = given;
        this.guide = guide;
    }

    /// Read when they are needed: a command without a model does not care.
    private HubSettings known() {
        HubSettings s = settings;
        if (s == null) {
            s = given.get();
            settings = s;
        }
        return s;
    }

    private HubCache cache() {
        return new HubCache(known().cache(), known().links());
    }

    private static Hub current() {
        return CURRENT.isBound() ? CURRENT.get() : new Hub(HubSettings::system, SILENT);
    }

    /// Runs `body` with a hub and somebody to ask.
    public static <T, X extends Throwable> T within(HubSettings settings, Guide guide,
            ScopedValue.CallableOp<T, X> body) throws X {
        return ScopedValue.where(CURRENT, new Hub(() -> settings, guide)).call(body);
    }

    /// Runs `body` with another guide.
    public static <T, X extends Throwable> T guided(Guide guide, ScopedValue.CallableOp<T, X> body) throws X {
        Hub outer = current();
        return ScopedValue.where(CURRENT, new Hub(outer::known, guide)).call(body);
    }

    /// What holds here.
    public static HubSettings settings() {
        return current().known();
    }

    /// The directory of a model that the user named.
    ///
    /// @param given a path, or a name of the hub
    /// @return `given` itself unless it is a name of the hub and nothing is there
    /// @throws HubException for a name of the hub that is not in the cache
    public static Path directory(Path given) {
        HubName name = HubName.of(given);
        Path found = name == null ? given : current().directory(given, name);
        return GgufFile.isNamed(found) ? gguf(found) : found;
    }

    /// The directory that stands for a GGUF file, itself or one of a model in the cache: `ORG/NAME/FILE.gguf`.
    private static Path gguf(Path given) {
        Hub hub = current();
        Path file = given;
        HubName.GgufName name = Files.exists(given) || given.isAbsolute() ? null
                : HubName.GgufName.of(given.toString().replace(File.separatorChar, '/'));
        if (name != null) {
            Path cached = hub.cache().file(name.model(), name.file());
            if (cached == null)
                throw new HubException(given + ": no such file, and none of this name in the Hugging Face cache ("
                        + hub.cache().root() + "); correct the path, or download it: " + hub.guide.called()
                        + " download " + name);
            file = cached;
        }
        if (Files.isDirectory(file))
            return file;
        return GgufDir.of(file, hub.known().cache().resolve("gyre-gguf"));
    }

    /// The same model, whatever a branch points to later: a name of the hub with the commit that it stands for now.
    public static String pinned(String given) {
        Path path = Path.of(given);
        HubName name = HubName.of(path);
        if (name == null)
            return given;
        Hub hub = current();
        Path found = hub.directory(path, name);
        String commit = found.equals(path) ? null : String.valueOf(found.getFileName());
        return commit == null || !HubName.isCommit(commit) ? given : name.at(commit).toString();
    }

    private Path directory(Path given, HubName name) {
        if (Files.exists(given)) {
            if (cache().find(name) != null && told.add(given))
                guide.note(
                        "model     " + given + " is the folder here; the model of that name in the Hugging Face cache"
                                + " is not used");
            return given;
        }
        Path found = cache().find(name);
        if (found != null) {
            if (told.add(found))
                guide.note(
                        "model     " + name.id() + " is revision " + String.valueOf(found.getFileName()).substring(0, 7)
                                + " in the Hugging Face cache (" + found + ")");
            return found;
        }
        // models/lama is a slip of the pen where there is a folder models
        Path first = given.getName(0);
        if (Files.isDirectory(first))
            return given;
        Path fetched = known().offline() ? null : guide.download(name);
        if (fetched == null)
            throw new HubException(given + ": no such directory, and no model of this name in the Hugging Face cache ("
                    + cache().root() + "); correct the path, or download the model: " + guide.called() + " download "
                    + name.id() + (name.revision() == null ? "" : " --revision " + name.revision()));
        told.add(fetched);
        return fetched;
    }

    /// A GGUF file that is in the cache already; null if it is not.
    public static @Nullable Path cached(HubName.GgufName name) {
        return current().cache().file(name.model(), name.file());
    }

    /// A model that is in the cache already, for when the hub cannot be reached; null if it is not.
    public static @Nullable Path cached(HubName name) {
        return current().cache().find(name);
    }
}
