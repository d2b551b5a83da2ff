package dev.gyre.trainer.serve;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.ModelText;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Slow, vanishing and hostile clients get the right status, and cost nobody else anything.
class HostileClientsTest {
    private static final int CONTEXT = 4000;
    private static ApiServer open;
    private static ApiServer keyed;

    /// A model that never says that it is done: answers are as long as they may be.
    private static Served endless() {
        Transformer model = Transformer.random(
                ModelConfig.llama(260, 16, 32, 1, 2, 1, CONTEXT, false, null, List.of(), null), 1);
        ModelText text = ModelText.bytes();
        float[] head = model.values("lm_head.weight");
        int C = model.config().hiddenSize();
        for (int stop : text.stops())
            Arrays.fill(head, stop * C, (stop + 1) * C, 0f);
        model.replace("lm_head.weight", head);
        return new Served(List.of("random"), List.of(model), text);
    }

    private static ApiServer serve(String key, int slots, int queue) {
        return ApiServer.open(ApiServer.take(new ServeOptions("127.0.0.1", 0, key, slots, CONTEXT, queue, 20, 0, 1, 1,
                300, 3, 2)), endless(), new CpuBackend(1));
    }

    @BeforeAll
    static void serve() {
        open = serve(null, 4, 8);
        keyed = serve("secret", 1, 1);
    }

    @AfterAll
    static void end() {
        open.close();
        keyed.close();
    }

    private static int port(ApiServer s) {
        return URI.create(s.address()).getPort();
    }

    /// Sends bytes and returns the status of the answer; 0 if the connection was closed without one.
    private static int status(ApiServer s, byte[] request) throws IOException {
        return reply(s, request)[0].isEmpty() ? 0 : Integer.parseInt(reply(s, request)[0].split(" ")[1]);
    }

    private static String[] reply(ApiServer s, byte[] request) throws IOException {
        try (Socket c = new Socket("127.0.0.1", port(s))) {
            c.setSoTimeout(120_000);
            Thread.startVirtualThread(() -> {
                try {
                    c.getOutputStream().write(request);
                    c.getOutputStream().flush();
                } catch (IOException e) {
                    // the server has said enough
                }
            });
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            InputStream in = c.getInputStream();
            try {
                byte[] some = new byte[4096];
                for (int n = in.read(some); n >= 0; n = in.read(some)) {
                    all.write(some, 0, n);
                    String text = all.toString(StandardCharsets.UTF_8);
                    int end = text.indexOf("\r\n\r\n");
                    if (end >= 0 && (text.length() > end + 4 || text.contains("ontent-length: 0")))
                        break;
                }
            } catch (SocketTimeoutException e) {
                throw new AssertionError("no answer within 120 s, only: " + all, e);
            } catch (IOException e) {
                // reset after the answer
            }
            String text = all.toString(StandardCharsets.UTF_8);
            return new String[] {text.lines().findFirst().orElse(""), text};
        }
    }

    private static byte[] http(ApiServer s, String head, String body) {
        return (head.replace("HOST", "127.0.0.1:" + port(s)).replace("\n", "\r\n") + "\r\n\r\n" + body)
                .getBytes(StandardCharsets.ISO_8859_1);
    }

    private static byte[] post(String path, String body) {
        return http(open, "POST " + path + " HTTP/1.1\nHost: HOST\nContent-Length: " + body.length(), body);
    }

    private static Arguments chat(String what, int status, String says, String body) {
        return Arguments.of(what, status, says, post("/v1/chat/completions", body));
    }

    private static Arguments text(String what, int status, String says, String body) {
        return Arguments.of(what, status, says, post("/v1/completions", body));
    }

    private static Arguments raw(String what, int status, String says, String head, String body) {
        return Arguments.of(what, status, says, http(open, head, body));
    }

    static Stream<Arguments> wrong() {
        String ok = "{\"model\": \"random\", \"prompt\": \"x\", ";
        String message = "{\"model\": \"random\", \"messages\": ";
        String to = "POST /v1/completions HTTP/1.1\nHost: HOST\n";
        return Stream.of(text("no body", 400, "not valid JSON|not a JSON object", ""),
                text("no JSON", 400, "not valid JSON", "{\"model\": \"random\", "),
                text("a list", 400, "not a JSON object", "[1]"),
                text("two values", 400, "not valid JSON", ok + "\"n\": 1} {}"),
                text("a key twice", 400, "not valid JSON", ok + "\"prompt\": \"y\"}"),
                text("nested 100 000 deep", 400, "not valid JSON", "[".repeat(100_000)),
                text("no UTF-8", 400, "not valid JSON", "{\"model\": \"\u00ff\u00fe\"}"),
                text("a number of 100 000 digits", 400, "not valid JSON",
                        ok + "\"seed\": " + "9".repeat(100_000) + "}"),
                text("no model", 400, "model is missing", "{\"prompt\": \"x\"}"),
                text("another model", 404, "there is no model gpt; there are random",
                        "{\"model\": \"gpt\", \"prompt\": \"x\"}"),
                text("n", 400, "n must be 1", ok + "\"n\": 2}"),
                text("logprobs", 400, "logprobs is not supported", ok + "\"logprobs\": 5}"),
                text("a penalty", 400, "frequency_penalty is not supported", ok + "\"frequency_penalty\": 0.5}"),
                text("an unknown key", 400, "top_k is not supported", ok + "\"top_k\": 5}"),
                text("max_tokens 0", 400, "max_tokens must be a whole number of at least 1", ok + "\"max_tokens\": 0}"),
                text("max_tokens 1e99", 400, "max_tokens", ok + "\"max_tokens\": 1e99}"),
                text("temperature hot", 400, "temperature must be a number from 0 to 2",
                        ok + "\"temperature\": \"hot\"}"),
                text("temperature 3", 400, "temperature", ok + "\"temperature\": 3}"),
                text("top_p 0", 400, "top_p must be above 0", ok + "\"top_p\": 0}"),
                text("stop empty", 400, "stop", ok + "\"stop\": \"\"}"),
                text("stop 17", 400, "stop has 17", ok + "\"stop\": [" + "\"a\",".repeat(16) + "\"a\"]}"),
                text("two prompts", 400, "prompt must be", "{\"model\": \"random\", \"prompt\": [\"a\", \"b\"]}"),
                text("no prompt", 400, "prompt must be", "{\"model\": \"random\"}"),
                text("a token that is none", 400, "outside the vocabulary",
                        "{\"model\": \"random\", \"prompt\": [999999]}"),
                text("a long prompt", 400, "the prompt has \\d+ tokens, and with its answer it may have 4000",
                        "{\"model\": \"random\", \"prompt\": \"" + "x".repeat(4000) + "\"}"),
                text("options without stream", 400, "stream_options",
                        ok + "\"stream_options\": {\"include_usage\": true}}"),
                chat("no messages", 400, "messages must be an array", "{\"model\": \"random\", \"messages\": []}"),
                chat("a role", 400, "messages\\[0\\].role", message + "[{\"role\": \"boss\", \"content\": \"x\"}]}"),
                chat("an image", 400, "parts of type text only",
                        message + "[{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}"),
                chat("a tool", 400, "tools is not supported",
                        message + "[{\"role\": \"user\", \"content\": \"x\"}], \"tools\": [{\"type\": \"function\"}]}"),
                chat("no template", 400, "no chat template", message + "[{\"role\": \"user\", \"content\": \"x\"}]}"),
                raw("no such path", 404, "there is nothing at GET /v2", "GET /v2 HTTP/1.1\nHost: HOST", ""),
                raw("a path upwards", 404, "nothing", "GET /../../etc/passwd HTTP/1.1\nHost: HOST", ""),
                raw("GET a question", 405, "needs POST", "GET /v1/completions HTTP/1.1\nHost: HOST", ""),
                raw("DELETE a list", 405, "needs GET", "DELETE /v1/models HTTP/1.1\nHost: HOST", ""),
                raw("another host", 403, "this server is at", "GET /v1/models HTTP/1.1\nHost: evil.example", ""),
                raw("another origin", 403, "pages of other sites",
                        "GET /v1/models HTTP/1.1\nHost: HOST\nOrigin: http://evil.example", ""),
                raw("a huge body, said", 413, "larger than", to + "Content-Length: 999999999999", ""),
                raw("a huge body, sent", 413, "larger than", to + "Content-Length: 3000000", "x".repeat(3_000_000)),
                raw("a huge body in chunks", 413, "larger than", to + "Transfer-Encoding: chunked",
                        ("FFFF\r\n" + "x".repeat(0xFFFF) + "\r\n").repeat(40)),
                raw("a slow body", 408, "did not arrive within 3 seconds", to + "Content-Length: 100", "{"),
                raw("slow chunks", 408, "did not arrive", to + "Transfer-Encoding: chunked", "1\r\n{\r\n"),
                raw("a length that is none", 400, "", to + "Content-Length: many", "{}"),
                raw("a length below zero", 400, "", to + "Content-Length: -1", "{}"),
                raw("a chunk that is none", 400, "", to + "Transfer-Encoding: chunked", "zz\r\n{}\r\n"),
                raw("a header of 1 MB", 0, "", "GET /health HTTP/1.1\nHost: HOST\nX: " + "x".repeat(1 << 20), ""),
                raw("1000 headers", 0, "",
                        "GET /health HTTP/1.1\nHost: HOST\n" + "A: b\n".repeat(1000) + "C: d", ""),
                raw("no HTTP", 400, "", "hello", ""));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("wrong")
    void theRightStatus(String what, int status, String says, byte[] request) throws IOException {
        String[] reply = reply(open, request);
        int got = reply[0].isEmpty() ? 0 : Integer.parseInt(reply[0].split(" ")[1]);
        if (status == 0)
            assertThat(got).as(reply[1]).isIn(0, 400, 413, 431);
        else
            assertThat(got).as(reply[1]).isEqualTo(status);
        if (!says.isEmpty())
            assertThat(reply[1]).containsPattern("\\{\"error\":\\{\"message\":\".*(" + says + ").*\"type\":\"");
        assertThat(reply[1]).doesNotContain("\tat ").doesNotContain("dev.gyre");
        assertThat(reply(open, post("/v1/completions", "{\"model\": \"random\", \"prompt\": \"x\"}"))[0])
                .contains("200");
    }

    @Test
    void aKeyIsNeeded() throws IOException {
        String get = "GET /v1/models HTTP/1.1\nHost: anything";
        assertThat(status(keyed, http(keyed, get, ""))).isEqualTo(401);
        for (String header : List.of("Bearer wrong", "Bearer", "Bearer secret2", "Basic secret", "secret",
                "Bearer secret\nAuthorization: Bearer secret", "Bearer " + "x".repeat(20_000)))
            assertThat(status(keyed, http(keyed, get + "\nAuthorization: " + header, ""))).as(header).isEqualTo(401);
        for (String header : List.of("Bearer secret", "bearer secret"))
            assertThat(status(keyed, http(keyed, get + "\nAuthorization: " + header, ""))).as(header).isEqualTo(200);
        // before the body is read
        assertThat(status(keyed, http(keyed, "POST /v1/completions HTTP/1.1\nHost: x\nContent-Length: 999999999", "")))
                .isEqualTo(401);
    }

    private static HttpResponse<String> ask(HttpClient client, ApiServer s, int most, String... headers)
            throws IOException, InterruptedException {
        HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(s.address() + "v1/completions"))
                .timeout(Duration.ofSeconds(240)).POST(HttpRequest.BodyPublishers.ofString(
                        "{\"model\": \"random\", \"prompt\": \"hello\", \"max_tokens\": " + most + "}"));
        if (headers.length > 0)
            b.headers(headers);
        return client.send(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    /// One slot, one place in the queue: all but two of many requests are told at once to come again.
    @Test
    void aFullQueueSaysSo() throws Exception {
        Map<Integer, AtomicInteger> seen = new ConcurrentHashMap<>();
        try (HttpClient client = HttpClient.newHttpClient();
                ExecutorService all = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> asked = new ArrayList<>();
            for (int i = 0; i < 20; i++)
                asked.add(all.submit(() -> {
                    HttpResponse<String> r = ask(client, keyed, 1500, "Authorization", "Bearer secret");
                    seen.computeIfAbsent(r.statusCode(), _ -> new AtomicInteger()).incrementAndGet();
                    if (r.statusCode() == 429) {
                        assertThat(r.headers().firstValue("Retry-After")).contains("1");
                        assertThat(r.body()).contains("queue_full");
                    }
                    return null;
                }));
            for (Future<?> one : asked)
                one.get();
        }
        assertThat(seen.keySet()).isEqualTo(Set.of(200, 429));
        assertThat(seen.get(200).get() + seen.get(429).get()).isEqualTo(20);
        assertThat(seen.get(200).get()).isGreaterThanOrEqualTo(2);
    }

    /// A thousand connections that say nothing, or half of something, do not keep a client from its answers.
    @Test
    void aThousandConnections() throws Exception {
        List<Socket> sockets = new ArrayList<>();
        try (HttpClient client = HttpClient.newHttpClient()) {
            for (int i = 0; i < 1000; i++) {
                Socket s = new Socket("127.0.0.1", port(open));
                sockets.add(s);
                OutputStream out = s.getOutputStream();
                if (i % 4 == 1)
                    out.write("POST /v1/completions HTTP/1.1\r\nHost: ".getBytes(StandardCharsets.US_ASCII));
                if (i % 4 == 2)
                    out.write(http(open, "POST /v1/completions HTTP/1.1\nHost: HOST\nContent-Length: 1000", "{"));
                if (i % 4 == 3)
                    out.write(0);
            }
            for (int i = 0; i < 20; i++)
                assertThat(ask(client, open, 5).statusCode()).isEqualTo(200);
        } finally {
            for (Socket s : sockets)
                s.close();
        }
        try (HttpClient client = HttpClient.newHttpClient()) {
            assertThat(ask(client, open, 5).statusCode()).isEqualTo(200);
        }
    }

    private static String metrics(HttpClient client) throws IOException, InterruptedException {
        return client.send(HttpRequest.newBuilder(URI.create(open.address() + "metrics")).build(),
                HttpResponse.BodyHandlers.ofString()).body();
    }

    /// Clients that leave in the middle of a stream, or stop reading, give their slots back.
    @Test
    void vanishingClientsGiveTheirSlotsBack() throws Exception {
        String body = "{\"model\": \"random\", \"prompt\": \"x\", \"max_tokens\": 3900, \"stream\": true}";
        List<Socket> stuck = new ArrayList<>();
        try (HttpClient client = HttpClient.newHttpClient()) {
            for (int i = 0; i < 4; i++) {
                Socket s = new Socket();
                s.setReceiveBufferSize(4096);
                s.connect(new java.net.InetSocketAddress("127.0.0.1", port(open)));
                s.getOutputStream().write(post("/v1/completions", body));
                assertThat(s.getInputStream().read()).isEqualTo('H');
                if (i % 2 == 0)
                    s.close();
                else
                    stuck.add(s);
            }
            CompletableFuture<Integer> other = CompletableFuture.supplyAsync(() -> {
                try {
                    return ask(client, open, 5).statusCode();
                } catch (IOException | InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            });
            assertThat(other.get(240, TimeUnit.SECONDS)).isEqualTo(200);
            long until = System.nanoTime() + Duration.ofSeconds(240).toNanos();
            while (!metrics(client).contains("gyre_slots_busy 0\n")) {
                assertThat(System.nanoTime()).isLessThan(until);
                Thread.sleep(50);
            }
            // what a client does not read may fit the buffers of the system; then it has not gone
            while (!metrics(client).matches("(?s).*gyre_clients_gone_total [2-4]\n.*")) {
                assertThat(System.nanoTime()).isLessThan(until);
                Thread.sleep(50);
            }
        } finally {
            for (Socket s : stuck)
                s.close();
        }
    }

    /// What was asked before the end is answered; what comes after is told so.
    @Test
    void theEndAnswersWhatWasAsked() throws Exception {
        ApiServer s = serve(null, 1, 4);
        try (HttpClient client = HttpClient.newHttpClient();
                ExecutorService all = Executors.newVirtualThreadPerTaskExecutor()) {
            List<CompletableFuture<HttpResponse<String>>> asked = new ArrayList<>();
            for (int i = 0; i < 3; i++)
                asked.add(CompletableFuture.supplyAsync(() -> {
                    try {
                        return ask(client, s, 400);
                    } catch (IOException | InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                }, all));
            long until = System.nanoTime() + Duration.ofSeconds(240).toNanos();
            String there = "";
            while (!there.contains("gyre_queue_length 2\n") && System.nanoTime() < until
                    && !there.contains("gyre_requests_total{path=\"/v1/completions\"")) {
                there = client.send(HttpRequest.newBuilder(URI.create(s.address() + "metrics")).build(),
                        HttpResponse.BodyHandlers.ofString()).body();
            }
            CompletableFuture<Boolean> drained = CompletableFuture.supplyAsync(() -> {
                try {
                    return s.drain(Duration.ofSeconds(240));
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }, all);
            for (CompletableFuture<HttpResponse<String>> r : asked)
                assertThat(r.get(240, TimeUnit.SECONDS).statusCode()).isIn(200, 503);
            assertThat(asked.getFirst().get().statusCode()).isEqualTo(200);
            assertThat(drained.get(240, TimeUnit.SECONDS)).isTrue();
            assertThat(ask(client, s, 5).statusCode()).isEqualTo(503);
        } finally {
            s.close();
        }
    }
}
