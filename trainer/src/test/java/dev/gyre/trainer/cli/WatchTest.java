package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.watch.Browser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The live page, of processes that really train. Limits of time only end what hangs.
@Timeout(value = 15, unit = TimeUnit.MINUTES)
class WatchTest {
    private static final Duration LONG = Duration.ofMinutes(5);
    private static final Pattern ADDRESS = Pattern.compile("http://127\\.0\\.0\\.1:\\d+/");

    @TempDir
    static Path dir;
    private static TinyModel tiny;

    private final HttpClient http = HttpClient.newHttpClient();
    private final List<Process> started = new ArrayList<>();

    @BeforeAll
    static void model() {
        tiny = TinyModel.in(dir.resolve("tiny"), "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
    }

    @AfterEach
    void end() {
        http.close();
        started.forEach(Process::destroyForcibly);
    }

    private static Path config(String run, int steps) throws IOException {
        // a name and prompts that would be elements of the page, were they not escaped
        Path data = dir.resolve(run + ".jsonl");
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 6; i++)
            s.append(
                    "{\"prompt\": \"<img src=x onerror=alert(%d)>\", \"completion\": \"</script><b>\"}\n".formatted(i));
        Files.writeString(data, s);
        Path file = dir.resolve(run + ".yaml");
        Files.writeString(file, """
                model: {path: %s}
                adapter: {method: oft, block_size: 8, cayley: newton_schulz}
                data: {train: %s, valid: %s}
                train: {steps: %d, seq_len: 64, micro_batch: 2, lr: 1e-3}
                eval: {every: 20, samples: 3}
                results: {answers: 0, report: false}
                output: {dir: "%s", checkpoint_every: 50, log_every: 10}
                device: cpu:1
                """.formatted(tiny.model(), tiny.train(), data, steps, dir.resolve(run)));
        return file;
    }

    private Process start(Path log, String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java")
                .toString(), "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", "-Xmx400m",
                "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
                "dev.gyre.trainer.cli.Main"));
        command.addAll(List.of(args));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        started.add(p);
        return p;
    }

    private static String address(Process p, Path log) throws Exception {
        while (true) {
            Matcher m = ADDRESS.matcher(Files.exists(log) ? Files.readString(log) : "");
            if (m.find())
                return m.group();
            assertThat(p.isAlive()).as(Files.readString(log)).isTrue();
            Thread.sleep(100);
        }
    }

    private HttpResponse<String> get(String address, String... headers) throws Exception {
        HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(address));
        if (headers.length > 0)
            b.headers(headers);
        return http.send(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    private HttpResponse<String> post(String address, String... headers) throws Exception {
        HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(address)).POST(HttpRequest.BodyPublishers.noBody());
        if (headers.length > 0)
            b.headers(headers);
        return http.send(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    private static String token(String page) {
        Matcher m = Pattern.compile("\"token\":\"([0-9a-f]+)\"").matcher(page);
        assertThat(m.find()).isTrue();
        return m.group(1);
    }

    /// Status line of a request written by hand, with any Host.
    private static String raw(String address, String request) throws IOException {
        URI u = URI.create(address);
        try (Socket s = new Socket(u.getHost(), u.getPort())) {
            OutputStream out = s.getOutputStream();
            out.write(request.replace("\n", "\r\n").getBytes(StandardCharsets.US_ASCII));
            out.flush();
            return new BufferedReader(new InputStreamReader(s.getInputStream(), StandardCharsets.US_ASCII)).readLine();
        }
    }

    @Test
    void numbersComeAsStepsHappenAndOnlyThePageStopsTheRun() throws Exception {
        Path log = dir.resolve("http.txt");
        Process p = start(log, "train", config("http", 100_000).toString(), "--watch");
        String address = address(p, log);
        HttpResponse<String> page = get(address);
        while (page.body().contains("\"run\":\"none\"")) { // nothing is written yet
            Thread.sleep(100);
            page = get(address);
        }
        assertThat(page.statusCode()).isEqualTo(200);
        String policy = page.headers().firstValue("Content-Security-Policy").orElseThrow();
        assertThat(policy).contains("default-src 'none'", "script-src 'nonce-", "connect-src 'self'",
                "frame-ancestors 'none'").doesNotContain("unsafe");
        assertThat(page.body()).as("needs nothing else, and escapes")
                .doesNotContain("<img", "<link", "src=\"", "href=\"",
                        "</script><b>")
                .contains("\"state\":\"training\"", "\"steps\":100000");
        assertThat(get(address).headers().firstValue("Content-Security-Policy").orElseThrow()).as("a new nonce")
                .isNotEqualTo(policy);

        // the events of two viewers at once
        String events = address + "events?from=0&run=" + run(page.body());
        try (Stream<String> one = lines(events); Stream<String> two = lines(events)) {
            for (Stream<String> viewer : List.of(one, two)) {
                List<String> some = viewer.filter(l -> l.startsWith("data: [") && l.contains("\"grad_norm\"")).limit(3)
                        .toList();
                assertThat(some.getFirst()).startsWith("data: [{\"step\":1,");
                assertThat(steps(some)).isSorted().doesNotHaveDuplicates();
            }
        }
        // another run behind the same name
        try (Stream<String> other = lines(address + "events?from=0&run=other")) {
            assertThat(other.filter(l -> l.startsWith("event:")).findFirst()).hasValue("event: again");
        }

        String token = token(page.body());
        String own = address.substring(0, address.length() - 1);
        assertThat(post(address + "stop").statusCode()).as("no token").isEqualTo(403);
        assertThat(post(address + "stop", "X-Gyre-Token", token.replace('a', 'b')).statusCode()).isEqualTo(403);
        assertThat(post(address + "stop", "X-Gyre-Token", token, "Origin", "http://evil.example").statusCode())
                .isEqualTo(403);
        assertThat(post(address + "stop", "X-Gyre-Token", token, "Origin", "null").statusCode()).isEqualTo(403);
        assertThat(get(address + "stop").statusCode()).isEqualTo(405);
        assertThat(get(address + "events?from=x&run=y").statusCode()).isEqualTo(400);
        assertThat(get(address + "../run.yaml").statusCode()).isEqualTo(404);
        assertThat(get(address, "Origin", "http://evil.example").statusCode()).isEqualTo(403);
        assertThat(raw(address, "GET / HTTP/1.1\nHost: evil.example\n\n")).as("a name rebound to this address")
                .contains(" 403 ");
        assertThat(raw(address, "POST /stop HTTP/1.1\nHost: evil.example\nX-Gyre-Token: " + token
                + "\nContent-Length: 0\n\n")).contains(" 403 ");
        assertThat(raw(address, "GET / HTTP/1.0\n\n")).contains(" 403 ");
        assertThat(p.isAlive()).isTrue();
        assertThat(dir.resolve("http/.stop")).doesNotExist();

        assertThat(post(address + "stop", "X-Gyre-Token", token, "Origin", own).statusCode()).isEqualTo(202);
        assertThat(p.waitFor(5, TimeUnit.MINUTES)).isTrue();
        assertThat(p.exitValue()).as(Files.readString(log)).isEqualTo(ExitCode.INTERRUPTED);
        assertThat(Files.readString(log)).contains("stopped after step ", "resume: gyre train ");
        assertThat(dir.resolve("http/.stop")).doesNotExist();
        long at = Metrics.read(dir.resolve("http/metrics.jsonl")).with("loss").size();
        Cli again = Cli.gyre("train", dir.resolve("http/run.yaml"), "--resume", "--set", "train.steps=" + (at + 2));
        assertThat(again.code).as(again.toString()).isZero();
        assertThat(Metrics.read(dir.resolve("http/metrics.jsonl")).with("loss")).hasSize((int) at + 2);
    }

    private static String run(String page) {
        Matcher m = Pattern.compile("\"run\":\"([^\"]+)\"").matcher(page);
        assertThat(m.find()).isTrue();
        return java.net.URLEncoder.encode(m.group(1), StandardCharsets.UTF_8);
    }

    private static List<Integer> steps(List<String> events) {
        List<Integer> out = new ArrayList<>();
        for (String e : events) {
            Matcher m = Pattern.compile("\\{\"step\":(\\d+),\"epoch\"").matcher(e);
            while (m.find())
                out.add(Integer.parseInt(m.group(1)));
        }
        return out;
    }

    private Stream<String> lines(String address) throws Exception {
        return http.send(HttpRequest.newBuilder(URI.create(address)).build(), HttpResponse.BodyHandlers.ofLines())
                .body();
    }

    @Test
    void aRunOfAnotherProcessIsWatchedAndStopped() throws Exception {
        Path log = dir.resolve("far.txt");
        Process p = start(log, "train", config("far", 100_000).toString());
        Path run = dir.resolve("far");
        while (!Files.exists(run.resolve("metrics.jsonl")) || Files.size(run.resolve("metrics.jsonl")) == 0)
            Thread.sleep(100);
        Path page = dir.resolve("watch.txt");
        Process w = start(page, "watch", run.toString());
        String address = address(w, page);
        assertThat(Files.readString(page)).contains(run + " is training; watch it at ");
        String body = get(address).body();
        assertThat(post(address + "stop", "X-Gyre-Token", token(body)).statusCode()).isEqualTo(202);
        assertThat(p.waitFor(5, TimeUnit.MINUTES)).isTrue();
        assertThat(p.exitValue()).as(Files.readString(log)).isEqualTo(ExitCode.INTERRUPTED);
        Thread.sleep(1500); // the state is looked at once a second
        String later = get(address).body();
        assertThat(later).contains("\"state\":\"stopped\"", "--resume");
        assertThat(post(address + "stop", "X-Gyre-Token", token(later)).statusCode()).as("nothing to stop")
                .isEqualTo(409);
        long at = Metrics.read(run.resolve("metrics.jsonl")).with("loss").size();
        Cli done = Cli.gyre("train", run.resolve("run.yaml"), "--resume", "--set", "train.steps=" + (at + 1));
        assertThat(done.code).as(done.toString()).isZero();
        Thread.sleep(1500);
        assertThat(get(address).body()).contains("\"state\":\"finished\"", "report.html");
    }

    @Test
    void whatCannotBeWatchedIsSaidInOneLine() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            Path file = config("taken", 3);
            Cli c = Cli.gyre("train", file, "--watch", taken.getLocalPort());
            assertThat(c.code).isEqualTo(ExitCode.USAGE);
            assertThat(c.err)
                    .startsWith("gyre: port " + taken.getLocalPort() + " cannot be had (Address already in use)"
                            + "; name another one, or none to take a free one")
                    .hasLineCount(1);
            assertThat(dir.resolve("taken")).as("the run did not begin").doesNotExist();
        }
        assertThat(Cli.gyre("watch", dir.resolve("none")).err).startsWith("gyre: ").contains("no run directory");
        assertThat(Cli.gyre("watch", tiny.model().getParent()).err).contains("is not a run of gyre train");
        assertThat(Cli.gyre("train", config("port", 3), "--watch", 70000).err).contains("port 70000: must be between");
    }

    /// With -Dgyre.pictures=DIR the pictures are left there.
    @Test
    void inABrowserNumbersAppearAndTheButtonStops() throws Exception {
        Path chromium = Browser.find();
        assumeThat(chromium).as("Chromium is not installed").isNotNull();
        Path pictures = Path.of(System.getProperty("gyre.pictures", dir.resolve("pictures").toString()));
        Files.createDirectories(pictures);
        Path log = dir.resolve("seen.txt");
        Process p = start(log, "train", config("seen", 2000).toString(), "--watch");
        String address = address(p, log);
        try (Browser b = new Browser(chromium, Files.createDirectory(dir.resolve("browser")))) {
            b.open(address, 1280, 900, false);
            String cards = "document.querySelector('.cards').innerText";
            b.await(cards + ".match(/step\\n[1-9]/)", LONG);
            int before = step(b);
            b.await("+document.querySelector('.card .v').textContent.replace(/\\D/g, '') >= " + (before + 45), LONG);
            b.await("charts.length === 6 && charts[0].data.datasets[0].data.length > 30", LONG);
            b.await("document.body.innerText.includes('Answers during training')", LONG);
            assertThat(b.js(cards).asString()).contains("of 2,000", "validation loss", "remaining", "MB",
                    "orthogonality error");
            assertThat(b.js("document.querySelector('.badge').textContent").asString()).isEqualTo("training");
            assertThat(b.js("document.images.length + document.querySelectorAll('td b').length").intValue())
                    .as("texts of the data are texts").isZero();
            assertThat(b.js("document.body.innerText").asString()).contains("<img src=x onerror=alert(0)>");
            b.picture(pictures.resolve("watch-wide.png"));
            b.open(address, 400, 850, false);
            b.await("charts.length === 6 && document.querySelector('.badge').textContent === 'training'", LONG);
            assertThat(b.js("document.documentElement.scrollWidth").intValue()).as("no sideways scrolling")
                    .isLessThanOrEqualTo(400);
            b.picture(pictures.resolve("watch-narrow.png"));
            b.open(address, 1280, 900, true);
            b.await("charts.length === 6 && document.querySelector('.badge').textContent === 'training'", LONG);
            assertThat(b.js("getComputedStyle(document.body).backgroundColor").asString()).isEqualTo("rgb(20, 23, 29)");
            b.picture(pictures.resolve("watch-dark.png"));
            assertThat(b.complaints()).isEmpty();
            b.js("document.querySelector('#stop').click()");
            b.await("document.querySelector('.badge').textContent === 'stopped'", LONG);
            assertThat(b.js("document.querySelector('#said').textContent").asString()).contains("--resume",
                    "report.html");
            assertThat(b.js("document.querySelector('#stop').hidden").asBoolean()).isTrue();
            b.picture(pictures.resolve("watch-stopped.png"));
            assertThat(p.waitFor(5, TimeUnit.MINUTES)).isTrue();
            assertThat(p.exitValue()).as(Files.readString(log)).isEqualTo(ExitCode.INTERRUPTED);
            assertThat(dir.resolve("seen")).isDirectoryContaining("glob:**/checkpoint-*");
            assertThat(b.js("document.querySelector('.badge').textContent").asString()).as("the page stays")
                    .isEqualTo("stopped");
        }
    }

    private static int step(Browser b) throws Exception {
        return Integer.parseInt(b.js("document.querySelector('.card .v').textContent").asString().replace(",", ""));
    }
}
