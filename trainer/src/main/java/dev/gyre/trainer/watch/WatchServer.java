package dev.gyre.trainer.watch;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Report;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// Serves the page of a run on this machine: what `metrics.jsonl` holds, then what is added to it as it happens
/// (server-sent events), and a button that stops the run.
///
/// Only this machine can connect. A page of another site that a browser here has open can send requests as well, under a name
/// of its own for this address; so requests are answered only under the address itself, and the run is stopped only by a
/// page that read its token from us.
public final class WatchServer implements AutoCloseable {
    /// Where the page is when no port is given and this one is free.
    public static final int PORT = 8642;

    private static final int LOOKS_MILLIS = 200;
    private static final Duration HEARTBEAT = Duration.ofSeconds(5);
    /// Pages at once.
    private static final int VIEWERS = 32;
    /// Steps that the time of a step is averaged over.
    private static final int RECENT = 50;
    /// How long pages may take to hear of the end.
    private static final long FAREWELL_SECONDS = 2;

    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Semaphore viewers = new Semaphore(VIEWERS);
    private final String token = random();
    private volatile @Nullable Source source;
    private volatile boolean closing;
    private final CountDownLatch told = new CountDownLatch(1);

    /// What is watched.
    public interface Source {
        /// The run directory.
        Path run();

        State state();
    }

    /// How a run is.
    ///
    /// @param name `training`, `measuring`, `finished` or `stopped`
    /// @param text more of it, in words; empty where there is none
    /// @param steps of the whole run; null where it is not known
    /// @param epochs of the whole run where `steps` is not known
    public record State(String name, String text, @Nullable Long steps, @Nullable Double epochs) {
    }

    private WatchServer(HttpServer server) {
        this.server = server;
        server.setExecutor(threads);
        server.createContext("/", this::answer);
    }

    /// Takes a port and answers nothing yet.
    ///
    /// @param port 0 for [#PORT], or a free one where that is taken
    /// @throws InputException if the port is taken
    public static WatchServer bind(int port) {
        if (port < 0 || port > 65535)
            throw new InputException("port " + port + ": must be between 1 and 65535");
        try {
            return new WatchServer(open(port == 0 ? PORT : port));
        } catch (BindException e) {
            if (port != 0)
                throw new InputException("port " + port + " cannot be had (" + e.getMessage()
                        + "); name another one, or none to take a free one");
            try {
                return new WatchServer(open(0));
            } catch (IOException x) {
                throw new UncheckedIOException(x);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static HttpServer open(int port) throws IOException {
        return HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port), 0);
    }

    private static String random() {
        byte[] b = new byte[18];
        new SecureRandom().nextBytes(b);
        return HexFormat.of().formatHex(b);
    }

    /// Begins to answer.
    public void start(Source what) {
        source = what;
        server.start();
    }

    /// `http://127.0.0.1:8642/`
    public String address() {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    }

    private Set<String> hosts() {
        int port = server.getAddress().getPort();
        return Set.of("127.0.0.1:" + port, "localhost:" + port);
    }

    private void answer(HttpExchange x) throws IOException {
        try (x) {
            try {
                Source s = source;
                String refused = refused(x);
                if (refused != null || s == null)
                    text(x, 403, String.valueOf(refused));
                else
                    route(x, s);
            } catch (GyreException e) {
                text(x, 503, String.valueOf(e.getMessage()));
            }
        }
    }

    /// Why a request is not answered; null for one that is.
    private @Nullable String refused(HttpExchange x) {
        List<String> host = x.getRequestHeaders().getOrDefault("Host", List.of());
        if (host.size() != 1 || !hosts().contains(host.getFirst()))
            return "this page is at " + address();
        List<String> origin = x.getRequestHeaders().getOrDefault("Origin", List.of());
        if (origin.size() > 1 || origin.size() == 1 && !origin.getFirst().equals("http://" + host.getFirst()))
            return "pages of other sites are not answered";
        return null;
    }

    private void route(HttpExchange x, Source s) throws IOException {
        String path = x.getRequestURI().getPath();
        String method = x.getRequestMethod();
        if (path.equals("/stop")) {
            if (!method.equals("POST"))
                text(x, 405, "stopping needs POST");
            else
                stop(x, s);
        } else
            if (!method.equals("GET") && !method.equals("HEAD"))
                text(x, 405, "only reading is possible here");
            else
                switch (path) {
                case "/" -> page(x, s);
                case "/events" -> {
                    if (method.equals("GET"))
                        events(x, s);
                    else
                        text(x, 405, "events need GET");
                }
                default -> text(x, 404, "there is nothing here; the page is at " + address());
                }
    }

    private static void text(HttpExchange x, int code, String text) throws IOException {
        send(x, code, "text/plain; charset=utf-8", text.getBytes(StandardCharsets.UTF_8));
    }

    private static void send(HttpExchange x, int code, String type, byte[] body) throws IOException {
        headers(x, type);
        boolean head = x.getRequestMethod().equals("HEAD");
        x.sendResponseHeaders(code, head || body.length == 0 ? -1 : body.length);
        if (!head && body.length > 0)
            x.getResponseBody().write(body);
    }

    private static void headers(HttpExchange x, String type) {
        Headers h = x.getResponseHeaders();
        h.set("Content-Type", type);
        h.set("Cache-Control", "no-store");
        h.set("X-Content-Type-Options", "nosniff");
        h.set("X-Frame-Options", "DENY");
        h.set("Referrer-Policy", "no-referrer");
        h.set("Cross-Origin-Resource-Policy", "same-origin");
        h.set("Cross-Origin-Opener-Policy", "same-origin");
        if (!h.containsKey("Content-Security-Policy"))
            h.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    }

    private void page(HttpExchange x, Source s) throws IOException {
        Path metrics = s.run().resolve("metrics.jsonl");
        // what is added from here on is told again: the page takes steps that it knows only once
        Metrics.Tail tail = Metrics.tail(metrics, 0);
        State state = s.state();
        ObjectNode w = JsonNodeFactory.instance.objectNode();
        w.put("token", token).put("offset", tail.end()).put("run", tail.run());
        w.put("state", state.name()).put("text", state.text());
        w.put("steps", state.steps()).put("epochs", state.epochs());
        List<JsonNode> steps = tail.lines().stream().filter(n -> n.has("loss")).toList();
        w.put("epoch", steps.isEmpty() ? 0 : steps.getLast().path("epoch").asDouble(0));
        ArrayNode recent = w.putArray("recent");
        steps.subList(Math.max(0, steps.size() - RECENT), steps.size())
                .forEach(n -> recent.add(n.path("seconds").doubleValue()));
        steps.stream().filter(n -> n.has("process")).reduce((_, b) -> b)
                .ifPresent(n -> w.put("memory", n.path("process").longValue()));
        String nonce = random();
        x.getResponseHeaders().set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-" + nonce
                + "'; style-src 'nonce-" + nonce
                + "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        send(x, 200, "text/html; charset=utf-8",
                Report.live(s.run(), tail, w, nonce).getBytes(StandardCharsets.UTF_8));
    }

    private void stop(HttpExchange x, Source s) throws IOException {
        String given = x.getRequestHeaders().getFirst("X-Gyre-Token");
        if (given == null || !MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8),
                token.getBytes(StandardCharsets.UTF_8)))
            text(x, 403, "only the run's own page can stop it; load it again");
        else
            if (!s.state().name().equals("training"))
                text(x, 409, "the run is not training now");
            else {
                RunDir.askToStop(s.run());
                text(x, 202, "the step is finished, then saved");
            }
    }

    private static @Nullable String query(HttpExchange x, String key) {
        String q = x.getRequestURI().getQuery();
        if (q != null)
            for (String part : q.split("&"))
                if (part.startsWith(key + "="))
                    return part.substring(key.length() + 1);
        return null;
    }

    /// Lines of `metrics.jsonl` from where the page has them, and the state of the run, as long as the page is open.
    private void events(HttpExchange x, Source s) throws IOException {
        if (!viewers.tryAcquire()) {
            text(x, 503, VIEWERS + " pages are open already; close one");
            return;
        }
        try {
            String id = x.getRequestHeaders().getFirst("Last-Event-ID");
            long from;
            try {
                from = Long.parseLong(id != null ? id : String.valueOf(query(x, "from")));
            } catch (NumberFormatException e) {
                text(x, 400, "from must be a number");
                return;
            }
            headers(x, "text/event-stream; charset=utf-8");
            x.sendResponseHeaders(200, 0);
            follow(x.getResponseBody(), s, from, query(x, "run"));
        } catch (IOException e) {
            // the page was closed
        } finally {
            viewers.release();
        }
    }

    private void follow(OutputStream out, Source s, long from, @Nullable String run) throws IOException {
        Path metrics = s.run().resolve("metrics.jsonl");
        long at = from;
        String known = "";
        long spoke = System.nanoTime();
        while (true) {
            boolean last = closing;
            Metrics.Tail tail = Metrics.tail(metrics, at);
            if (run == null || !tail.run().equals(run)) {
                // the run was resumed, and its file cut back to its checkpoint
                event(out, "again", "{}", at);
                return;
            }
            boolean spoken = false;
            if (!tail.lines().isEmpty()) {
                at = tail.end();
                ArrayNode lines = JsonNodeFactory.instance.arrayNode();
                tail.lines().forEach(lines::add);
                event(out, "lines", lines.toString(), at);
                spoken = true;
            }
            String state = state(s.state(), last);
            if (!state.equals(known)) {
                known = state;
                event(out, "state", state, at);
                spoken = true;
            }
            if (last)
                return;
            long now = System.nanoTime();
            if (!spoken && now - spoke > HEARTBEAT.toNanos()) {
                out.write(":\n\n".getBytes(StandardCharsets.UTF_8));
                out.flush();
                spoken = true;
            }
            if (spoken)
                spoke = now;
            try {
                told.await(LOOKS_MILLIS, TimeUnit.MILLISECONDS);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private static String state(State s, boolean last) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("state", s.name()).put("text", s.text()).put("last", last);
        return o.toString();
    }

    private static void event(OutputStream out, String name, String data, long id) throws IOException {
        out.write(("id: " + id + "\nevent: " + name + "\ndata: " + data + "\n\n").getBytes(StandardCharsets.UTF_8));
        out.flush();
    }

    /// Tells the pages how the run is now, for the last time, and ends.
    @Override
    public void close() {
        closing = true;
        told.countDown();
        long until = System.nanoTime() + Duration.ofSeconds(FAREWELL_SECONDS).toNanos();
        try {
            while (viewers.availablePermits() < VIEWERS && System.nanoTime() < until)
                Thread.sleep(10);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        server.stop(0);
        threads.shutdownNow();
    }
}
