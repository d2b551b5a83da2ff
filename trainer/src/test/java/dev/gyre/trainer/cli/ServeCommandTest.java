package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.gyre.model.files.Json;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// `gyre serve` as a process: what it says, what curl gets, and how signals end it.
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class ServeCommandTest {
    private static final Path BASE = Path.of("../examples/small-llama");

    private static Process start(Path log, String heap, String... args) throws IOException {
        ProcessBuilder b = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "-XX:+UseSerialGC", heap, "-XX:TieredStopAtLevel=1", "-cp",
                System.getProperty("java.class.path"), "dev.gyre.trainer.cli.Main", "serve");
        b.command().addAll(List.of(args));
        return b.redirectErrorStream(true).redirectOutput(log.toFile()).start();
    }

    private static String address(Process p, Path log) throws IOException, InterruptedException {
        while (true) {
            String text = Files.exists(log) ? Files.readString(log) : "";
            Matcher m = Pattern.compile("at (http://\\S+/)v1 ").matcher(text);
            if (m.find())
                return m.group(1);
            assertThat(p.isAlive()).as(text).isTrue();
            Thread.sleep(20);
        }
    }

    private static void signal(Process p, String name) throws IOException, InterruptedException {
        assertThat(new ProcessBuilder("kill", "-" + name, Long.toString(p.pid())).start().waitFor()).isZero();
    }

    private static String curl(String... args) throws IOException, InterruptedException {
        ProcessBuilder b = new ProcessBuilder("curl", "-sS", "--max-time", "60");
        b.command().addAll(List.of(args));
        Process p = b.redirectErrorStream(true).start();
        try (BufferedReader r = new BufferedReader(
                new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8))) {
            String text = r.readAllAsString();
            assertThat(p.waitFor()).as(text).isZero();
            return text;
        }
    }

    @Test
    void curlGetsWhatGenerateSays(@TempDir Path dir) throws Exception {
        assumeThat(Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(d -> Path.of(d, "curl")))
                .as("install curl for this test").anyMatch(Files::isExecutable);
        for (String signal : List.of("TERM", "INT")) {
            Path log = dir.resolve(signal + ".txt");
            Process p = start(log, "-Xmx300m", BASE.toString(), "--port", "0", "--slots", "2", "--api-key", "k");
            try {
                String address = address(p, log);
                Cli c = Cli.gyre("generate", BASE, "-q", "-p", "copy hello = ", "-n", 30);
                String body = "{\"model\": \"small-llama\", \"prompt\": \"copy hello = \", \"max_tokens\": 30}";
                String said = curl(address + "v1/completions", "-H", "Authorization: Bearer k", "-d", body);
                assertThat(Json.MAPPER.readTree(said).path("choices").get(0).path("text").stringValue() + "\n")
                        .isEqualTo(c.out);
                assertThat(curl(address + "v1/models", "-H", "Authorization: Bearer no", "-o",
                        dir.resolve("out").toString(), "-w", "%{http_code}")).isEqualTo("401");
                assertThat(curl("-N", address + "v1/completions", "-H", "Authorization: Bearer k", "-d",
                        body.replace("}", ", \"stream\": true}"))).endsWith("data: [DONE]\n\n");
                // a signal while it answers
                try (HttpClient client = HttpClient.newHttpClient()) {
                    CompletableFuture<HttpResponse<String>> asked = client.sendAsync(HttpRequest
                            .newBuilder(URI.create(address + "v1/completions")).header("Authorization", "Bearer k")
                            .POST(HttpRequest.BodyPublishers.ofString(
                                    "{\"model\": \"small-llama\", \"prompt\": \"a\", \"temperature\": 2, \"stop\": \"~\"}"))
                            .build(), HttpResponse.BodyHandlers.ofString());
                    while (!curl(address + "metrics", "-H", "Authorization: Bearer k")
                            .contains("gyre_first_token_seconds_count 3"))
                        Thread.sleep(1);
                    signal(p, signal);
                    assertThat(asked.get(60, TimeUnit.SECONDS).statusCode()).isEqualTo(200);
                }
                assertThat(p.waitFor()).as(Files.readString(log)).isZero();
            } finally {
                p.destroyForcibly();
            }
        }
    }

    /// What cannot be served is said in one line, before anything is read or listened to.
    @Test
    void whatCannotBeIsSaidInOneLine(@TempDir Path dir) throws Exception {
        record Wrong(String says, Object... args) {
        }
        for (Wrong w : List.of(new Wrong("give an API key", "--host", "0.0.0.0"),
                new Wrong("printable ASCII", "--api-key", "a b"),
                new Wrong("is not an address", "--host", "no.such.host.invalid"),
                new Wrong("the model's context is 256", "--context", 1000),
                new Wrong("--slots must be at least 1", "--slots", 0),
                new Wrong("port 70000", "--port", 70000),
                new Wrong("has no adapter_config.json", "--adapter", "other=" + BASE),
                new Wrong("temperature -1", "--temperature", -1))) {
            Object[] all = new Object[2 + w.args.length];
            all[0] = "serve";
            all[1] = BASE;
            System.arraycopy(w.args, 0, all, 2, w.args.length);
            Cli c = Cli.gyre(all);
            assertThat(c.code).as(c.toString()).isEqualTo(2);
            assertThat(c.err).contains(w.says);
        }
        // the port is taken before the weights and adapters are read, which here would fail
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            Cli c = Cli.gyre("serve", BASE, "--port", taken.getLocalPort(), "--adapter", "other=" + BASE);
            assertThat(c.code).as(c.toString()).isEqualTo(2);
            assertThat(c.err).contains("port " + taken.getLocalPort() + " of 127.0.0.1 cannot be had")
                    .contains("name another one with --port").doesNotContain("adapter_config.json");
        }
        Path log = dir.resolve("log");
        Process p = start(log, "-Xmx100m", BASE.toString(), "--port", "0", "--slots", "2000");
        assertThat(p.waitFor()).isEqualTo(2);
        assertThat(Files.readString(log).lines().filter(l -> !l.startsWith("WARNING")).toList()).singleElement()
                .asString().contains("serving takes").contains("cache of 2000 slots of 256 tokens")
                .contains("take fewer --slots");
    }
}
