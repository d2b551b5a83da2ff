package dev.gyre.trainer.hub;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// A hub on this machine that answers as huggingface.co does: information and tree of a model, `resolve` with git's hash for
/// small files, and for large ones the SHA-256 and a redirect to another host. What goes wrong is up to [#trouble].
public final class FakeHub implements AutoCloseable {
    public static final String ID = "org/tiny-model";
    public static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    /// From here on a file is a large one.
    private static final int LARGE = 1000;
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-");

    private final HttpServer hub;
    private final HttpServer storage;
    public final Map<String, byte[]> files = new LinkedHashMap<>();
    /// `METHOD path [Range] [token]` of each request, storage under `storage`.
    public final List<String> requests = new CopyOnWriteArrayList<>();
    String commit = COMMIT;
    String tags = "\"license:apache-2.0\"";
    /// Files of a page of the tree.
    int page = 1000;
    volatile Trouble trouble = _ -> false;

    /// What goes wrong with a request.
    interface Trouble {
        /// @return whether it was answered
        boolean answer(Request r) throws IOException;
    }

    /// A request to the hub (`api`, `resolve`) or the storage behind it.
    record Request(HttpExchange exchange, String path, boolean storage, int number) {
        void status(int status, String... headers) throws IOException {
            for (int i = 0; i < headers.length; i += 2)
                exchange.getResponseHeaders().add(headers[i], headers[i + 1]);
            exchange.sendResponseHeaders(status, -1);
            exchange.close();
        }

        boolean isFile() {
            return path.contains("/resolve/") || storage;
        }
    }

    public FakeHub() {
        try {
            hub = server(false);
            storage = server(true);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private HttpServer server(boolean isStorage) throws IOException {
        // two names of this machine are two hosts
        HttpServer s = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        s.setExecutor(Executors.newCachedThreadPool(Thread.ofPlatform().daemon().factory()));
        s.createContext("/", x -> {
            try (x) {
                answer(x, isStorage);
            }
        });
        s.start();
        return s;
    }

    FakeHub file(String name, byte[] content) {
        files.put(name, content);
        return this;
    }

    public FakeHub file(String name, String content) {
        return file(name, content.getBytes(StandardCharsets.UTF_8));
    }

    /// The files of a model directory.
    public FakeHub folder(Path model) throws IOException {
        try (Stream<Path> all = Files.list(model)) {
            for (Path p : all.sorted().toList())
                file(String.valueOf(p.getFileName()), Files.readAllBytes(p));
        }
        return this;
    }

    /// A model of the right shape for a download; its weights are no weights.
    FakeHub usual() {
        byte[] weights = new byte[300_000];
        new Random(1).nextBytes(weights);
        return file("config.json", "{\"model_type\": \"llama\"}").file("tokenizer.json", "{}")
                .file("README.md", "# no").file("pytorch_model.bin", new byte[5000])
                .file("onnx/model.onnx", new byte[3000]).file("model.safetensors", weights);
    }

    public URI endpoint() {
        return URI.create("http://localhost:" + hub.getAddress().getPort());
    }

    public HubSettings settings(Path cache) {
        return settings(cache, null, true);
    }

    HubSettings settings(Path cache, @Nullable String token, boolean links) {
        return new HubSettings(endpoint(), cache, token, false, links, ProxySelector.of(null));
    }

    /// Short waits, room for everything.
    HubDownload download(HubSettings s) {
        return new HubDownload(s, new HubHttp.Pauses(Duration.ofSeconds(5), Duration.ofSeconds(5),
                Duration.ofMillis(600), Duration.ofMillis(1)), _ -> Long.MAX_VALUE, new HubDownload.Listener() {
                });
    }

    static String hash(byte[] content) {
        try {
            MessageDigest d = MessageDigest.getInstance(content.length >= LARGE ? "SHA-256" : "SHA-1");
            if (content.length < LARGE)
                d.update(("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII));
            return HexFormat.of().formatHex(d.digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    private void answer(HttpExchange x, boolean isStorage) throws IOException {
        String path = x.getRequestURI().getRawPath();
        String token = x.getRequestHeaders().getFirst("Authorization");
        String range = x.getRequestHeaders().getFirst("Range");
        requests.add((isStorage ? "storage " : "") + path + (range == null ? "" : " " + range)
                + (token == null ? "" : " " + token));
        Request r = new Request(x, path, isStorage, requests.size());
        if (trouble.answer(r))
            return;
        if (isStorage) {
            content(x, files.get(decoded(path.substring(1))), range);
            return;
        }
        String api = "/api/models/" + ID;
        if (path.startsWith(api + "/revision/")) {
            String revision = decoded(path.substring((api + "/revision/").length()));
            if (!List.of("main", "v1", "refs/pr/2", commit).contains(revision)) {
                r.status(404, "X-Error-Code", "RevisionNotFound", "X-Error-Message", "Invalid rev id: " + revision);
                return;
            }
            json(x, "{\"id\": \"" + ID + "\", \"sha\": \"" + commit + "\", \"tags\": [" + tags + "]}");
        } else
            if (path.equals(api + "/tree/" + commit)) {
                tree(x);
            } else
                if (path.startsWith("/" + ID + "/resolve/" + commit + "/")) {
                    resolve(x, decoded(path.substring(("/" + ID + "/resolve/" + commit + "/").length())), range);
                } else {
                    // what huggingface.co says of a model that is not there, so that nobody learns which private ones are
                    r.status(token == null ? 401 : 404, "X-Error-Code", "RepoNotFound", "X-Error-Message",
                            "Repository not found");
                }
    }

    private static String decoded(String s) {
        return URLDecoder.decode(s, StandardCharsets.UTF_8);
    }

    private void tree(HttpExchange x) throws IOException {
        String query = String.valueOf(x.getRequestURI().getRawQuery());
        Matcher m = Pattern.compile("cursor=(\\d+)").matcher(query);
        int from = m.find() ? Integer.parseInt(m.group(1)) : 0;
        StringBuilder out =
                new StringBuilder("[{\"type\": \"directory\", \"oid\": \"x\", \"size\": 0, \"path\": \"onnx\"}");
        int i = 0;
        for (Map.Entry<String, byte[]> f : files.entrySet()) {
            if (i >= from && i < from + page) {
                byte[] c = f.getValue();
                String pointer = "f".repeat(40);
                out.append(", {\"type\": \"file\", \"path\": \"").append(f.getKey().replace("\\", "\\\\"))
                        .append("\", \"size\": ").append(c.length).append(", \"oid\": \"")
                        .append(c.length >= LARGE ? pointer : hash(c)).append('"');
                if (c.length >= LARGE)
                    out.append(", \"lfs\": {\"oid\": \"").append(hash(c)).append("\", \"size\": ").append(c.length)
                            .append(", \"pointerSize\": 130}");
                out.append('}');
            }
            i++;
        }
        if (from + page < i)
            x.getResponseHeaders().add("Link", "<" + endpoint() + x.getRequestURI().getRawPath()
                    + "?recursive=true&cursor=" + (from + page) + ">; rel=\"next\"");
        json(x, out.append(']').toString());
    }

    private void resolve(HttpExchange x, String name, @Nullable String range) throws IOException {
        byte[] c = files.get(name);
        if (c == null) {
            new Request(x, name, false, 0).status(404, "X-Error-Code", "EntryNotFound");
            return;
        }
        x.getResponseHeaders().add("X-Repo-Commit", commit);
        x.getResponseHeaders().add("ETag", "\"" + (c.length >= LARGE ? "f".repeat(40) : hash(c)) + "\"");
        if (c.length < LARGE) {
            content(x, c, range);
            return;
        }
        x.getResponseHeaders().add("X-Linked-Etag", "\"" + hash(c) + "\"");
        x.getResponseHeaders().add("X-Linked-Size", String.valueOf(c.length));
        x.getResponseHeaders().add("Location",
                "http://127.0.0.1:" + storage.getAddress().getPort() + "/" + name + "?signature=abc");
        x.sendResponseHeaders(302, -1);
    }

    static void content(HttpExchange x, byte[] c, @Nullable String range) throws IOException {
        Matcher m = RANGE.matcher(range == null ? "" : range);
        int from = m.matches() ? Integer.parseInt(m.group(1)) : 0;
        if (from > 0 && from >= c.length) {
            x.getResponseHeaders().add("Content-Range", "bytes */" + c.length);
            x.sendResponseHeaders(416, -1);
            return;
        }
        if (from > 0)
            x.getResponseHeaders().add("Content-Range", "bytes " + from + "-" + (c.length - 1) + "/" + c.length);
        x.sendResponseHeaders(from > 0 ? 206 : 200, c.length - from == 0 ? -1 : c.length - from);
        x.getResponseBody().write(c, from, c.length - from);
    }

    private static void json(HttpExchange x, String text) throws IOException {
        byte[] b = text.getBytes(StandardCharsets.UTF_8);
        x.getResponseHeaders().add("Content-Type", "application/json");
        x.sendResponseHeaders(200, b.length);
        x.getResponseBody().write(b);
    }

    @Override
    public void close() {
        hub.stop(0);
        storage.stop(0);
    }
}
