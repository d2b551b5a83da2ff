package dev.gyre.trainer.data;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.files.Sha256;
import dev.gyre.trainer.config.RunConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Files of tokens of sets that are too large for memory. Each is in a folder whose name is a hash of everything that the
/// tokens follow from: the data, the tokenizer with its template, and how examples become tokens. It is complete or not
/// there, and two processes that need the same one do not both make it. Gyre removes none: they are the user's to delete.
///
/// @param memory bytes of tokens that a set keeps in memory
/// @param folder where the files are
public record TokenCache(long memory, Path folder) {
    private static final int FORMAT = 1;
    private static final String SET = "set.json";
    private static final int MILLION = 1_000_000;
    /// Text of so many times its bytes on the disk may come out of a packed file.
    private static final int PACKED = 8;
    private static final int WAIT_MILLIS = 300;

    /// What a configuration has when it says nothing.
    public static final TokenCache DEFAULT = new TokenCache(atMost(256L * MILLION), home());

    public static TokenCache of(RunConfig.Data d) {
        return new TokenCache(atMost((long) d.memory() * MILLION), d.cache() == null ? home() : Path.of(d.cache()));
    }

    /// Arrays that grow take up to three times what they hold.
    private static final int OF_THE_HEAP = 8;

    /// What a small heap has room for; nothing but memory and time depends on it.
    private static long atMost(long bytes) {
        return Math.min(bytes, Runtime.getRuntime().maxMemory() / OF_THE_HEAP);
    }

    private static Path home() {
        String cache = System.getenv("XDG_CACHE_HOME");
        Path base = cache != null && !cache.isEmpty() ? Path.of(cache)
                : Path.of(System.getProperty("user.home", "."), ".cache");
        return base.resolve("gyre").resolve("tokens");
    }

    Entry entry(ExampleFiles files, TokenizedSet.Rules rules, ModelText text) {
        return new Entry(files, rules, text);
    }

    /// Of examples that are in no file: theirs is gone when the set is.
    Entry unnamed(ModelText text) {
        return new Entry(null, null, text);
    }

    /// The place of one set.
    final class Entry implements AutoCloseable {
        private final @Nullable ExampleFiles files;
        private final TokenizedSet.@Nullable Rules rules;
        private final ModelText text;
        private @Nullable Path target;
        private @Nullable FolderLock lock;
        private AtomicFiles.@Nullable Work work;
        private FileTokens.@Nullable Writer writer;
        private boolean finished;

        private Entry(@Nullable ExampleFiles files, TokenizedSet.@Nullable Rules rules, ModelText text) {
            this.files = files;
            this.rules = rules;
            this.text = text;
        }

        /// Thrown where another process made the file in the meantime.
        static final class MadeByAnother extends RuntimeException {
            private static final long serialVersionUID = 1L;

            MadeByAnother() {
                super(null, null, false, false);
            }
        }

        long memory() {
            return memory;
        }

        /// Where the tokens belong; null where what they follow from has no name.
        private @Nullable Path target() {
            String tokenizer = text.fingerprint();
            if (target == null && files != null && rules != null && tokenizer != null) {
                StringBuilder s = new StringBuilder();
                s.append(FORMAT).append('\n').append(TokenCache.class.getPackage().getImplementationVersion());
                for (Path f : files.files())
                    s.append('\n').append(f).append(' ').append(Sha256.of(f));
                s.append('\n').append(files.format()).append(new TreeMap<>(files.keys())).append(rules).append('\n')
                        .append(tokenizer);
                target = folder.resolve(Sha256.of(s.toString().getBytes(StandardCharsets.UTF_8)).substring(0, 32));
            }
            return target;
        }

        /// The set, if its tokens are there.
        @Nullable
        TokenizedSet find(ExampleFiles of) {
            if (target == null && of.bytes() <= memory / PACKED)
                return null; // small, and not worth hashing
            Path at = target();
            if (at == null || !Files.isDirectory(at))
                return null;
            ObjectNode o = Json.readObject(at.resolve(SET));
            TokenizedSet.Counts c;
            try {
                c = JSON.treeToValue(o.path("counts"), TokenizedSet.Counts.class);
            } catch (JacksonException e) {
                throw new FormatException(at, "holds a damaged file of tokens; remove the folder, it is made again", e);
            }
            return TokenizedSet.of(of.files(), of.name(),
                    FileTokens.open(at, number(at, o, "size"), number(at, o, "width"), c.tokens()), c);
        }

        private static int number(Path at, ObjectNode o, String key) {
            JsonNode n = o.path(key);
            if (!n.isIntegralNumber())
                throw new FormatException(at, "holds a damaged file of tokens; remove the folder, it is made again");
            return n.intValue();
        }

        /// Begins to write the tokens.
        FileTokens.Writer writer() {
            int width = 2L * text.tokenizer().vocabSize() + 4096 < 1 << 16 ? 2 : 4;
            Path at = target();
            if (at == null)
                return writer = temporary(width);
            lock = lock(at);
            work = AtomicFiles.work(at);
            return writer = new FileTokens.Writer(work.path(), width, false);
        }

        private static FileTokens.Writer temporary(int width) {
            try {
                Path dir = Files.createTempDirectory("gyre-tokens-");
                dir.toFile().deleteOnExit();
                return new FileTokens.Writer(dir, width, true);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        /// Waits for a process that makes the same file.
        private FolderLock lock(Path at) {
            Path held = at.resolveSibling("." + at.getFileName() + FolderLock.FILE);
            AtomicFiles.createFolder(folder);
            while (true) {
                if (Files.isDirectory(at))
                    throw new MadeByAnother();
                try {
                    FolderLock l = AtomicFiles.own(at);
                    if (!Files.isDirectory(at))
                        return l;
                    l.close();
                } catch (FormatException e) {
                    if (!Files.exists(held) && !Files.isDirectory(at))
                        throw e;
                    try {
                        Thread.sleep(WAIT_MILLIS);
                    } catch (InterruptedException x) {
                        Thread.currentThread().interrupt();
                        throw e;
                    }
                }
            }
        }

        /// Ends the writing; under its name the file appears complete.
        TokenStore finish(List<Path> of, TokenizedSet.Counts counts) {
            FileTokens.Writer w = Objects.requireNonNull(writer);
            AtomicFiles.Work made = work;
            Path at = target;
            finished = true;
            if (made == null || at == null)
                return w.reader();
            int size = w.finish();
            ObjectNode o = JsonNodeFactory.instance.objectNode();
            o.put("format", FORMAT).put("size", size).put("width", w.width());
            o.set("counts", JSON.valueToTree(counts));
            of.forEach(f -> o.withArray("files").add(f.toString()));
            AtomicFiles.replaceDirectory(at, dir -> {
                for (String name : new String[] {FileTokens.TOKENS, FileTokens.INDEX})
                    Files.move(made.path().resolve(name), dir.resolve(name));
                Files.writeString(dir.resolve(SET), Json.pretty(o));
            });
            return FileTokens.open(at, size, w.width(), counts.tokens());
        }

        @Override
        public void close() {
            if (writer != null && !(finished && work == null))
                writer.close();
            if (work != null)
                work.close();
            if (lock != null)
                lock.close();
        }
    }

    private static final JsonMapper JSON = JsonMapper.builder().build();
}
