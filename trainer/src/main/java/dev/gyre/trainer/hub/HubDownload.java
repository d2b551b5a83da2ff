package dev.gyre.trainer.hub;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// Fetches a model into the cache: asks what there is, then gets what is not here yet, several files at once, each continued
/// where it broke off and held against its hash. The branch points to the new commit only when all of it is here.
public final class HubDownload implements AutoCloseable {
    private static final int AT_ONCE = 4;
    private static final int PIECE = 1 << 16;
    /// Room that is left on the disk.
    private static final long SPARE = 64L << 20;

    private final HubSettings settings;
    private final HubCache cache;
    private final HubHttp http;
    private final ToLongFunction<Path> room;
    private final Listener listener;

    /// Is told how it goes, from the calling thread.
    public interface Listener {
        /// What takes longer than it should, and why.
        default void waiting(String why) {
        }

        /// @param done bytes that are here, of `all`
        /// @param fetched bytes that came in this process
        /// @param files that are complete, of `of`
        default void progress(long done, long all, long fetched, int files, int of) {
        }

        /// The model's configuration, before its weights are fetched.
        default void config(Path file) {
        }
    }

    /// What is to be fetched.
    public static final class Listing {
        private final HubName name;
        private final String commit;
        private final List<HubFile> files;
        private final long bytes;
        private final long rest;
        private final String licence;

        private Listing(HubName name, String commit, List<HubFile> files, long bytes, long rest, String licence) {
            this.name = name;
            this.commit = commit;
            this.files = List.copyOf(files);
            this.bytes = bytes;
            this.rest = rest;
            this.licence = licence;
        }

        public HubName name() {
            return name;
        }

        public String commit() {
            return commit;
        }

        /// Number of files.
        public int files() {
            return files.size();
        }

        /// Bytes of all files.
        public long bytes() {
            return bytes;
        }

        /// Bytes of what is not here yet.
        public long rest() {
            return rest;
        }

        /// As the hub names it; "" if it does not.
        public String licence() {
            return licence;
        }
    }

    HubDownload(HubSettings settings, HubHttp.Pauses pauses, ToLongFunction<Path> room, Listener listener) {
        this.settings = settings;
        this.cache = new HubCache(settings.cache(), settings.links());
        this.http = new HubHttp(settings, pauses);
        this.room = room;
        this.listener = listener;
    }

    /// @param listener told how it goes
    public HubDownload(HubSettings settings, Listener listener) {
        this(settings, HubHttp.Pauses.USUAL, HubDownload::usable, listener);
    }

    private static long usable(Path folder) {
        try {
            return Files.getFileStore(folder).getUsableSpace();
        } catch (IOException e) {
            return Long.MAX_VALUE; // a file system that does not say
        }
    }

    /// Asks the hub which files the model has.
    ///
    /// @throws HubException if there is no such model or revision, or not for us
    /// @throws UncheckedIOException if the hub cannot be reached
    public Listing list(HubName name) {
        return list(name, null);
    }

    /// Asks the hub for one GGUF file of a model.
    ///
    /// @param gguf its name; null: all that Gyre needs of the model
    public Listing list(HubName name, @Nullable String gguf) {
        if (settings.offline())
            throw new HubException("HF_HUB_OFFLINE is set, and " + name + " is not in the cache (" + cache.root()
                    + "); unset it to download");
        JsonNode info = http.json(name, address("/api/models/" + name.id() + "/revision/" + coded(name.wanted())),
                _ -> {
                }, listener::waiting);
        String commit = info.path("sha").asString("");
        if (!HubName.isCommit(commit))
            throw new HubException(settings.host() + " names no commit of " + name + "; is HF_ENDPOINT right?");
        List<HubFile> chosen = new ArrayList<>(gguf == null ? HubChoice.of(name, tree(name, commit))
                : HubChoice.gguf(name, gguf, tree(name, commit)));
        chosen.sort(HubChoice::order);
        List<String> tags = new ArrayList<>();
        info.path("tags").forEach(t -> tags.add(t.asString("")));
        long bytes = 0;
        long rest = 0;
        for (HubFile f : chosen) {
            bytes += f.size();
            rest += cache.rest(name, commit, f);
        }
        return new Listing(name, commit, chosen, bytes, rest, HubChoice.licence(tags));
    }

    private List<HubFile> tree(HubName name, String commit) {
        List<HubFile> out = new ArrayList<>();
        URI page = address("/api/models/" + name.id() + "/tree/" + commit + "?recursive=true&expand=false");
        for (int pages = 0; page != null; pages++) {
            if (pages == 100)
                throw new HubException(name + " has more files than a model has");
            AtomicReference<@Nullable URI> next = new AtomicReference<>();
            JsonNode list = http.json(name, page, n -> next.set(own(n)), listener::waiting);
            page = next.get();
            if (!list.isArray())
                throw new HubException(settings.host() + " sends no list of files of " + name
                        + "; is HF_ENDPOINT right?");
            for (JsonNode f : list)
                if (f.path("type").asString("").equals("file")) {
                    JsonNode lfs = f.path("lfs");
                    JsonNode of = lfs.isObject() ? lfs : f;
                    out.add(new HubFile(f.path("path").asString(""), of.path("size").asLong(-1),
                            of.path("oid").asString("").replaceFirst("^sha256:", "")));
                }
        }
        return out;
    }

    /// The next page is the hub's, whatever address a proxy in between has put there.
    private URI own(URI next) {
        return address(next.getRawPath() + (next.getRawQuery() == null ? "" : "?" + next.getRawQuery()));
    }

    private URI address(String path) {
        return URI.create(settings.endpoint() + path);
    }

    private static String coded(String part) {
        return URLEncoder.encode(part, StandardCharsets.UTF_8).replace("+", "%20");
    }

    /// Fetches what is not here yet.
    ///
    /// @return the snapshot, complete
    public Path fetch(Listing l) {
        cache.prepare(l.name);
        long free = room.applyAsLong(cache.root());
        if (l.rest > 0 && free < l.rest + SPARE)
            throw new UncheckedIOException(new IOException(cache.root() + ": " + gb(l.rest) + " are still to come and "
                    + gb(free) + " are free there; make room, or put the cache elsewhere with HF_HUB_CACHE"));
        new Run(l).all();
        Path snapshot = cache.snapshot(l.name, l.commit);
        if (l.files.stream().allMatch(f -> f.path().endsWith(".gguf"))) {
            // a model whose branch is here already would lose its weights to a newer commit
            if (cache.find(l.name) == null)
                cache.setCommit(l.name, l.commit);
            return snapshot;
        }
        String missing = HubCache.missing(snapshot);
        if (missing != null)
            throw new HubException(l.name + " lacks " + missing + " at " + settings.host()
                    + "; look for another copy of the model");
        cache.setCommit(l.name, l.commit);
        return snapshot;
    }

    private static String gb(long bytes) {
        return String.format(java.util.Locale.ROOT, "%.2f GB", bytes / 1e9);
    }

    /// One download.
    private final class Run {
        private final Listing listing;
        private final List<HubFile> files;
        private final AtomicLong here = new AtomicLong();
        private final AtomicLong fetched = new AtomicLong();
        private final AtomicInteger complete = new AtomicInteger();
        /// Why a file is waited for, by its path: what one says, another that goes on must not take back.
        private final ConcurrentNavigableMap<String, String> waiting = new ConcurrentSkipListMap<>();

        Run(Listing listing) {
            this.listing = listing;
            this.files = listing.files;
            here.set(listing.bytes - listing.rest);
        }

        void all() {
            List<HubFile> rest = new ArrayList<>(files);
            rest.removeIf(f -> {
                if (!f.path().equals("config.json"))
                    return false;
                await(List.of(f));
                listener.config(cache.snapshot(listing.name, listing.commit).resolve(f.path()));
                return true;
            });
            await(rest);
        }

        private void await(List<HubFile> some) {
            ExecutorService threads = Executors.newFixedThreadPool(AT_ONCE, Thread.ofVirtual().factory());
            try {
                List<Future<?>> futures = new ArrayList<>();
                for (HubFile f : some)
                    futures.add(threads.submit(() -> {
                        one(f);
                        return null;
                    }));
                for (Future<?> f : futures)
                    await(f);
            } catch (ExecutionException e) {
                switch (e.getCause()) {
                    case RuntimeException x -> throw x;
                    case Error x -> throw x;
                    case IOException x -> throw new UncheckedIOException(x);
                    case null, default -> throw new IllegalStateException(e);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new UncheckedIOException(new IOException("interrupted", e));
            } finally {
                threads.shutdownNow();
                threads.close(); // the others end before the connections do
            }
        }

        private void await(Future<?> f) throws InterruptedException, ExecutionException {
            while (true)
                try {
                    f.get(200, TimeUnit.MILLISECONDS);
                    return;
                } catch (TimeoutException e) {
                    Map.Entry<String, String> why = waiting.firstEntry();
                    if (why != null)
                        listener.waiting(why.getValue());
                    else
                        listener.progress(here.get(), listing.bytes, fetched.get(), complete.get(), files.size());
                }
        }

        private void one(HubFile f) throws IOException, InterruptedException {
            if (!cache.has(listing.name, listing.commit, f))
                try (HubCache.Lock _ = cache.lock(listing.name, f,
                        () -> waiting.put(f.path(),
                                "another process fetches " + f.path() + "; waiting for it"))) {
                                    waiting.remove(f.path());
                                    if (!cache.hasBlob(listing.name, f) && !cache.has(listing.name, listing.commit, f))
                                        content(f);
                                    if (!cache.has(listing.name, listing.commit, f))
                                        cache.link(listing.name, listing.commit, f);
                                }
            complete.incrementAndGet();
        }

        /// From the first missing byte to the hash; once more from the start if what was here from before was wrong.
        private void content(HubFile f) throws IOException {
            Path part = cache.part(listing.name, f);
            boolean continued = Files.exists(part) && Files.size(part) > 0;
            if (fetched(f, part).equals(f.etag())) {
                cache.keep(listing.name, f);
                return;
            }
            long size = Files.size(part);
            Files.delete(part);
            here.addAndGet(-size);
            if (continued && fetched(f, part).equals(f.etag()))
                cache.keep(listing.name, f);
            else {
                Files.deleteIfExists(part);
                throw new UncheckedIOException(new IOException(listing.name + ": what " + settings.host()
                        + " sent as " + f.path() + " is not what it lists (wrong hash); it was deleted, try again"
                        + " later or from another network"));
            }
        }

        /// Fetches what is missing and returns the hash of all.
        private String fetched(HubFile f, Path part) throws IOException {
            try (FileChannel out = FileChannel.open(part, StandardOpenOption.CREATE, StandardOpenOption.READ,
                    StandardOpenOption.WRITE)) {
                if (out.size() > f.size())
                    restart(out);
                MessageDigest digest = digest(f);
                read(out, digest);
                int failures = 0;
                while (out.size() < f.size()) {
                    long before = out.size();
                    try {
                        digest = more(f, out, digest);
                    } catch (HubHttp.Passing e) {
                        failures = out.size() > before ? 0 : failures + 1;
                        if (failures == HubHttp.TRIES)
                            throw new UncheckedIOException(new IOException(e.getMessage() + "; " + gb(before) + " of "
                                    + f.path() + " are kept, the same command goes on there", e));
                        http.pause(e, failures, why -> waiting.put(f.path(), why));
                        waiting.remove(f.path());
                    }
                }
                out.force(true);
                return HexFormat.of().formatHex(digest.digest());
            }
        }

        private void restart(FileChannel out) throws IOException {
            here.addAndGet(-out.size());
            out.truncate(0);
        }

        private static void read(FileChannel in, MessageDigest digest) throws IOException {
            ByteBuffer piece = ByteBuffer.allocate(1 << 20);
            for (long at = 0; at < in.size();) {
                int n = in.read(piece.clear(), at);
                digest.update(piece.flip());
                at += Math.max(0, n);
            }
        }

        /// One request for the rest.
        ///
        /// @return the digest of all that is there now
        private MessageDigest more(HubFile f, FileChannel out, MessageDigest digest) throws IOException {
            long from = out.size();
            StringBuilder path = new StringBuilder("/" + listing.name.id() + "/resolve/" + listing.commit);
            for (String p : f.path().split("/"))
                path.append('/').append(coded(p));
            HubHttp.Answer a = http.get(listing.name, address(path.toString()), from);
            MessageDigest d = digest;
            try (HubHttp.Guarded in = http.guard(a.body())) {
                check(f, a);
                if (from > 0 && !continues(a, from)) {
                    restart(out); // it sends the whole, or has no such range
                    d = digest(f);
                    if (a.status() != 200)
                        return d;
                }
                byte[] piece = new byte[PIECE];
                long at = out.size();
                while (at < f.size()) {
                    int n = read(in, piece, f, at);
                    int use = (int) Math.min(n, f.size() - at);
                    write(out, ByteBuffer.wrap(piece, 0, use), at, f);
                    d.update(piece, 0, use);
                    at += use;
                    here.addAndGet(use);
                    fetched.addAndGet(use);
                }
            }
            return d;
        }

        private static boolean continues(HubHttp.Answer a, long from) {
            return a.status() == 206
                    && a.headers().firstValue("content-range").orElse("").startsWith("bytes " + from + "-");
        }

        /// The hub says of a large file, before it redirects to where it is, what it will be.
        private void check(HubFile f, HubHttp.Answer a) {
            String etag = a.first().firstValue("x-linked-etag").orElse("").replaceAll("^W/|\"", "");
            String size = a.first().firstValue("x-linked-size").orElse("");
            if (f.isLarge() && (!etag.isEmpty() && !etag.equals(f.etag())
                    || !size.isEmpty() && !size.equals(String.valueOf(f.size()))))
                throw new HubException(listing.name + ": " + settings.host() + " lists " + f.path()
                        + " with another hash or size than it sends; nothing was kept of it, try again later");
        }

        private int read(HubHttp.Guarded in, byte[] piece, HubFile f, long at) throws HubHttp.Passing {
            int n;
            try {
                n = in.read(piece, 0, piece.length);
            } catch (IOException e) {
                throw new HubHttp.Passing(broke(f) + " (" + HubHttp.reason(e) + ")", -1, e);
            }
            if (n < 0)
                throw new HubHttp.Passing(broke(f) + " after " + gb(at) + " of " + gb(f.size()), -1, null);
            return n;
        }

        private String broke(HubFile f) {
            return "the transfer of " + f.path() + " broke off";
        }

        private void write(FileChannel out, ByteBuffer bytes, long at, HubFile f) throws IOException {
            try {
                for (long to = at; bytes.hasRemaining();)
                    to += out.write(bytes, to);
            } catch (java.nio.channels.ClosedChannelException e) {
                throw e; // another file failed, and that is what is said
            } catch (IOException e) {
                throw new IOException(cache.root() + ": cannot be written ("
                        + e.getMessage() + "); what came of " + f.path()
                        + " is kept, make room and the same command goes on there", e);
            }
        }

        private static MessageDigest digest(HubFile f) {
            try {
                if (f.isLarge())
                    return MessageDigest.getInstance("SHA-256");
                MessageDigest git = MessageDigest.getInstance("SHA-1");
                git.update(("blob " + f.size() + "\0").getBytes(StandardCharsets.US_ASCII));
                return git;
            } catch (NoSuchAlgorithmException e) {
                throw new AssertionError(e);
            }
        }
    }

    @Override
    public void close() {
        http.close();
    }
}
