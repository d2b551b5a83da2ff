package dev.gyre.trainer.serve;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.model.transformer.BatchDecoder;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Serves models under the paths of OpenAI's API, with the JDK's HTTP server and a virtual thread for each request.
///
/// Without a key only this machine can connect, and only under the address itself: a page of another site that a browser
/// here has open can send requests as well, under a name of its own for this address. With a key, whoever has it may.
public final class ApiServer implements AutoCloseable {
    static {
        // read once, when the JDK's server is first used; what the user set stays
        property("sun.net.httpserver.maxReqTime", "30");
        property("sun.net.httpserver.maxRspTime", "3600");
        property("sun.net.httpserver.maxReqHeaders", "100");
        property("sun.net.httpserver.maxReqHeaderSize", "32768");
        property("sun.net.httpserver.idleInterval", "30");
        property("jdk.httpserver.maxConnections", String.valueOf(ServeOptions.CONNECTIONS));
    }

    private static void property(String name, String value) {
        if (System.getProperty(name) == null)
            System.setProperty(name, value);
    }

    private static final String CHAT = "/v1/chat/completions";
    private static final String TEXT = "/v1/completions";
    private static final String MODELS = "/v1/models";
    private static final Set<String> PATHS = Set.of("/", CHAT, TEXT, MODELS, "/health", "/metrics");
    private static final SecureRandom RANDOM = new SecureRandom();
    /// How long clients may take to read the end of their answers when the server stops.
    private static final Duration FAREWELL = Duration.ofSeconds(5);

    private final HttpServer server;
    private final ServeOptions options;
    private final Served served;
    private final Engine engine;
    private final Answers answers;
    private final ServeMetrics metrics = new ServeMetrics();
    private final Watchdog watchdog;
    private final byte @Nullable [] key;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final AtomicLong bodies = new AtomicLong();
    private final AtomicInteger handling = new AtomicInteger();
    private final AtomicBoolean stopping = new AtomicBoolean();
    private final boolean loopback;

    private ApiServer(HttpServer server, Served served, Engine engine, ServeOptions options, boolean loopback) {
        this.server = server;
        this.served = served;
        this.engine = engine;
        this.options = options;
        this.loopback = loopback;
        this.key = options.key() == null ? null : digest(options.key());
        this.watchdog = new Watchdog(Duration.ofSeconds(options.stuckSeconds()));
        this.answers = new Answers(served, engine, options, metrics);
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    /// A port that is ours, where nobody is answered yet.
    public static final class Place implements AutoCloseable {
        private final HttpServer http;
        private final ServeOptions options;
        private final boolean loopback;

        private Place(HttpServer http, ServeOptions options, boolean loopback) {
            this.http = http;
            this.options = options;
            this.loopback = loopback;
        }

        /// Gives the port back, also that of a server that answers at it.
        @Override
        public void close() {
            http.stop(0);
        }
    }

    /// Takes a port, before a model is read that may take minutes.
    ///
    /// @throws InputException if other machines could connect without a key, or the port is taken
    public static Place take(ServeOptions options) {
        if (options.port() < 0 || options.port() > 65535)
            throw new InputException("port " + options.port() + ": must be between 0 and 65535");
        InetAddress host = host(options);
        try {
            return new Place(HttpServer.create(new InetSocketAddress(host, options.port()), 1024), options,
                    host.isLoopbackAddress());
        } catch (BindException e) {
            throw new InputException("port " + options.port() + " of " + options.host() + " cannot be had ("
                    + e.getMessage() + "); name another one with --port, or 0 to take a free one");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Makes room for all sequences and answers from then on.
    ///
    /// @param place closed with the server
    /// @param served closed with the server
    public static ApiServer open(Place place, Served served, Backend backend) {
        ServeOptions options = place.options;
        BatchDecoder decoder = new BatchDecoder(served.models(), backend, options.slots(), options.context());
        return new ApiServer(place.http, served, new Engine(decoder, served.models().size(),
                served.models().getFirst().config().vocabSize(), options.queue()), options, place.loopback);
    }

    /// The address to listen at.
    ///
    /// @throws InputException if other machines could connect without a key, or nobody knows the host
    static InetAddress host(ServeOptions options) {
        InetAddress host;
        try {
            host = InetAddress.getByName(options.host());
        } catch (UnknownHostException e) {
            throw new InputException("--host " + options.host() + " is not an address of this machine");
        }
        String k = options.key();
        if (k != null && (k.isBlank() || !k.chars().allMatch(c -> c > ' ' && c < 127)))
            throw new InputException("the API key must be printable ASCII without spaces");
        if (!host.isLoopbackAddress() && k == null)
            throw new InputException("--host " + options.host()
                    + " lets other machines connect; give an API key (--api-key, or GYRE_API_KEY), or stay at 127.0.0.1");
        return host;
    }

    /// `http://127.0.0.1:8080/`
    public String address() {
        InetSocketAddress a = server.getAddress();
        String host = a.getAddress().getHostAddress();
        return "http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + a.getPort() + "/";
    }

    private static byte[] digest(String s) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(s.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private void handle(HttpExchange x) {
        handling.incrementAndGet();
        String path = x.getRequestURI().getPath();
        String known = path != null && PATHS.contains(path) ? path : "other";
        Reply reply = new Reply(x, watchdog);
        try {
            try {
                guard(x);
                route(x, known, reply);
            } catch (ApiError e) {
                fail(x, reply, e);
            } catch (GyreException e) {
                fail(x, reply, ApiError.wrong(null, String.valueOf(e.getMessage())));
            } catch (RuntimeException | StackOverflowError e) {
                fail(x, reply, ApiError.server(500, "internal_error", "internal error: " + e));
            }
        } catch (IOException e) {
            metrics.left();
        } finally {
            metrics.request(known, reply.status());
            reply.close();
            handling.decrementAndGet();
        }
    }

    private static void fail(HttpExchange x, Reply reply, ApiError e) throws IOException {
        if (reply.status() != 0) {
            reply.cut();
            return;
        }
        Headers h = x.getResponseHeaders();
        if (e.status == 401)
            h.set("WWW-Authenticate", "Bearer");
        if (e.status == 429 || e.status == 503)
            h.set("Retry-After", "1");
        // what is left of the request is not read
        if (e.status == 400 || e.status == 408 || e.status == 413 || e.status == 401)
            h.set("Connection", "close");
        reply.json(e.status, e.json());
    }

    /// Refuses who may not ask.
    private void guard(HttpExchange x) throws ApiError {
        if (key != null) {
            String path = x.getRequestURI().getPath();
            // the page and whether there is a server tell nothing
            if ("/".equals(path) || "/health".equals(path))
                return;
            List<String> given = x.getRequestHeaders().getOrDefault("Authorization", List.of());
            String bearer = given.size() == 1 && given.getFirst().regionMatches(true, 0, "Bearer ", 0, 7)
                    ? given.getFirst().substring(7).strip() : "";
            // hashes have one length, and comparing them takes one time
            if (!MessageDigest.isEqual(digest(bearer), key))
                throw new ApiError(401, "invalid_request_error", null, "invalid_api_key", given.isEmpty()
                        ? "this server needs an API key: send the header Authorization: Bearer KEY"
                        : "the API key is wrong");
            return;
        }
        if (!loopback)
            throw ApiError.refused(403, "no key");
        List<String> host = x.getRequestHeaders().getOrDefault("Host", List.of());
        int port = server.getAddress().getPort();
        if (host.size() != 1 || !Set.of("127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port)
                .contains(host.getFirst().toLowerCase(Locale.ROOT)))
            throw ApiError.refused(403, "this server is at " + address() + "; under other names it needs an API key");
        List<String> origin = x.getRequestHeaders().getOrDefault("Origin", List.of());
        if (origin.size() > 1 || origin.size() == 1 && !origin.getFirst().equals("http://" + host.getFirst()))
            throw ApiError.refused(403, "pages of other sites are not answered without an API key");
    }

    private void route(HttpExchange x, String path, Reply reply) throws ApiError, IOException {
        String method = x.getRequestMethod();
        boolean ask = path.equals(CHAT) || path.equals(TEXT);
        String asked = x.getRequestURI().getPath();
        if (path.equals("other") && asked != null && asked.startsWith(MODELS + "/") && method.equals("GET")) {
            String name = asked.substring(MODELS.length() + 1);
            if (!served.names().contains(name))
                throw Answers.unknown(name, served.names());
            reply.json(200, model(name));
            return;
        }
        if (path.equals("other"))
            throw ApiError.refused(404,
                    "there is nothing at " + method + " " + asked + "; there are " + CHAT + ", " + TEXT
                            + ", " + MODELS + ", /health, /metrics and a page at /");
        if (!method.equals(ask ? "POST" : "GET") && !(method.equals("HEAD") && !ask)) {
            x.getResponseHeaders().set("Allow", ask ? "POST" : "GET, HEAD");
            throw ApiError.refused(405, path + " needs " + (ask ? "POST" : "GET"));
        }
        switch (path) {
            case "/" -> page(x, reply);
            case MODELS -> {
                ObjectNode list = JsonNodeFactory.instance.objectNode().put("object", "list");
                ArrayNode data = list.putArray("data");
                served.names().forEach(n -> data.add(model(n)));
                reply.json(200, list);
            }
            case "/health" -> {
                boolean up = !stopping.get() && !engine.closing();
                reply.json(up ? 200 : 503,
                        JsonNodeFactory.instance.objectNode().put("status", up ? "ok" : "stopping"));
            }
            case "/metrics" -> reply.send(200, "text/plain; version=0.0.4; charset=utf-8", metrics.text(engine));
            default -> {
                if (stopping.get())
                    throw ApiError.server(503, "stopping", "the server is stopping");
                int limit = options.body();
                byte[] body = body(x, limit);
                long taken = body.length > ServeOptions.SMALL ? body.length : 0;
                Question q;
                try {
                    q = Question.read(body, path.equals(CHAT));
                } finally {
                    bodies.addAndGet(-taken);
                }
                answers.answer(q, reply);
            }
        }
    }

    private static ObjectNode model(String name) {
        return JsonNodeFactory.instance.objectNode().put("id", name).put("object", "model")
                .put("created", Answers.STARTED).put("owned_by", "gyre");
    }

    /// Reads a body, in a thread of its own: who sends it slowly gets an answer while it is still being read.
    private byte[] body(HttpExchange x, int limit) throws ApiError, IOException {
        String declared = x.getRequestHeaders().getFirst("Content-Length");
        if (declared != null && (declared.length() > 10 || Long.parseLong(declared) > limit))
            throw tooLarge(limit);
        CompletableFuture<byte[]> all = new CompletableFuture<>();
        Thread reader = Thread.startVirtualThread(() -> {
            try {
                all.complete(read(x.getRequestBody(), limit));
            } catch (IOException | ApiError | RuntimeException e) {
                all.completeExceptionally(e);
            }
        });
        try {
            return all.get(options.uploadSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            // interrupted, the reader would close the connection before the answer is out
            watchdog.later(reader, Duration.ofSeconds(1));
            throw ApiError.refused(408, "the body did not arrive within " + options.uploadSeconds() + " seconds");
        } catch (ExecutionException e) {
            Throwable why = e.getCause();
            if (why instanceof ApiError a)
                throw a;
            // a client that has gone will not hear it
            if (why instanceof IOException io)
                throw ApiError.refused(400, "the body cannot be read: " + io.getMessage());
            throw new IllegalStateException(why);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    private static ApiError tooLarge(int limit) {
        return ApiError.refused(413, "the body is larger than " + limit + " bytes");
    }

    /// What is read counts from [ServeOptions#SMALL] bytes on, so that small requests get through whatever others send.
    private byte[] read(InputStream in, int limit) throws IOException, ApiError {
        ByteArrayOutputStream out = new ByteArrayOutputStream(1024);
        byte[] some = new byte[8192];
        long counted = 0;
        boolean kept = false;
        try {
            for (int n = in.read(some); n >= 0; n = in.read(some)) {
                if (out.size() + n > limit)
                    throw tooLarge(limit);
                out.write(some, 0, n);
                if (out.size() > ServeOptions.SMALL) {
                    long more = out.size() - counted;
                    counted += more;
                    if (bodies.addAndGet(more) > ServeOptions.BODIES)
                        throw ApiError.server(503, "busy", "too many large requests at once; try again");
                }
            }
            kept = true;
            return out.toByteArray();
        } finally {
            if (!kept)
                bodies.addAndGet(-counted);
        }
    }

    private void page(HttpExchange x, Reply reply) throws IOException {
        byte[] random = new byte[18];
        RANDOM.nextBytes(random);
        String nonce = HexFormat.of().formatHex(random);
        x.getResponseHeaders().set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-" + nonce
                + "'; style-src 'nonce-" + nonce
                + "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        try (InputStream in = ApiServer.class.getResourceAsStream("chat.html")) {
            if (in == null)
                throw new IllegalStateException("chat.html is missing");
            reply.send(200, "text/html; charset=utf-8",
                    new String(in.readAllBytes(), StandardCharsets.UTF_8).replace("NONCE", nonce));
        }
    }

    /// Takes no more requests, and returns when those that were taken are answered, or after some time.
    ///
    /// @return whether all were answered
    public boolean drain(Duration most) throws InterruptedException {
        stopping.set(true);
        boolean all = engine.drain(most.toMillis());
        if (!all)
            engine.close();
        long until = System.nanoTime() + FAREWELL.toNanos();
        while (handling.get() > 0 && System.nanoTime() < until)
            Thread.sleep(10);
        return all;
    }

    /// What is being answered is cut off; see [#drain].
    @Override
    public void close() {
        stopping.set(true);
        server.stop(0);
        engine.close();
        threads.shutdownNow();
        watchdog.close();
        served.close();
    }
}
