package dev.gyre.trainer.watch;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// A page in headless Chromium, driven by its debugging protocol.
public final class Browser implements AutoCloseable {
    private static final List<String> NAMES = List.of("chromium", "chromium-browser", "google-chrome");
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Process process;
    private final HttpClient http = HttpClient.newHttpClient();
    private final WebSocket socket;
    private final Map<Integer, CompletableFuture<JsonNode>> answers = new ConcurrentHashMap<>();
    private final List<String> complaints = new CopyOnWriteArrayList<>();
    private int calls;

    /// Where Chromium is; null where it is not installed.
    public static @Nullable Path find() {
        for (String dir : System.getenv().getOrDefault("PATH", "").split(":"))
            for (String name : NAMES)
                if (Files.isExecutable(Path.of(dir, name)))
                    return Path.of(dir, name);
        return null;
    }

    /// @param folder for its profile
    public Browser(Path chromium, Path folder) throws Exception {
        Path log = folder.resolve("chromium.txt");
        process = new ProcessBuilder(chromium.toString(), "--headless=new", "--no-sandbox", "--disable-gpu",
                "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
                "--user-data-dir=" + folder.resolve("profile"), "about:blank").redirectErrorStream(true)
                .redirectOutput(log.toFile()).start();
        Path port = folder.resolve("profile/DevToolsActivePort");
        for (int i = 0; i < 600 && (!Files.exists(port) || Files.size(port) == 0) && process.isAlive(); i++)
            Thread.sleep(100);
        assertThat(port).as(Files.exists(log) ? Files.readString(log) : "").exists();
        String base = "http://127.0.0.1:" + Files.readAllLines(port).getFirst();
        HttpResponse<String> r = http.send(HttpRequest.newBuilder(URI.create(base + "/json/list")).build(),
                HttpResponse.BodyHandlers.ofString());
        String address = "";
        for (JsonNode t : JSON.readTree(r.body()))
            if (t.path("type").asString("").equals("page"))
                address = t.path("webSocketDebuggerUrl").asString("");
        StringBuilder text = new StringBuilder();
        socket = http.newWebSocketBuilder().buildAsync(URI.create(address), new WebSocket.Listener() {
            @Override
            public @Nullable CompletionStage<?> onText(WebSocket w, CharSequence data, boolean last) {
                text.append(data);
                if (last) {
                    take(JSON.readTree(text.toString()));
                    text.setLength(0);
                }
                w.request(1);
                return null;
            }
        }).get(30, TimeUnit.SECONDS);
        call("Page.enable", Map.of());
        call("Runtime.enable", Map.of());
        call("Log.enable", Map.of());
    }

    private void take(JsonNode m) {
        if (m.has("id")) {
            CompletableFuture<JsonNode> f = answers.remove(m.path("id").intValue());
            if (f != null)
                f.complete(m);
            return;
        }
        String method = m.path("method").asString("");
        if (method.equals("Runtime.exceptionThrown"))
            complaints.add(m.path("params").path("exceptionDetails").toString());
        JsonNode entry = m.path("params").path("entry");
        if (method.equals("Log.entryAdded") && entry.path("level").asString("").equals("error"))
            complaints.add(entry.path("text").asString("") + " " + entry.path("url").asString(""));
    }

    /// What the page complained about: script errors, violations of its policy.
    public List<String> complaints() {
        return complaints;
    }

    private JsonNode call(String method, Map<String, Object> params) throws Exception {
        int id = ++calls;
        CompletableFuture<JsonNode> f = new CompletableFuture<>();
        answers.put(id, f);
        socket.sendText(JSON.writeValueAsString(Map.of("id", id, "method", method, "params", params)), true).get(30,
                TimeUnit.SECONDS);
        JsonNode r = f.get(120, TimeUnit.SECONDS);
        assertThat(r.has("error")).as(r.toString()).isFalse();
        return r.path("result");
    }

    /// Opens a page in a window.
    public void open(String address, int width, int height, boolean dark) throws Exception {
        call("Emulation.setDeviceMetricsOverride",
                Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", false));
        call("Emulation.setEmulatedMedia",
                Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", dark ? "dark" : "light"))));
        call("Page.navigate", Map.of("url", address));
    }

    /// The value of an expression, promises awaited.
    public JsonNode js(String expression) throws Exception {
        JsonNode r = call("Runtime.evaluate",
                Map.of("expression", expression, "returnByValue", true, "awaitPromise", true));
        assertThat(r.has("exceptionDetails")).as(expression + ": " + r).isFalse();
        return r.path("result").path("value");
    }

    /// Waits until an expression is true.
    public void await(String expression, Duration most) throws Exception {
        long until = System.nanoTime() + most.toNanos();
        while (System.nanoTime() < until) {
            if (js("(() => { try { return !!(" + expression + "); } catch (e) { return false; } })()").asBoolean(false))
                return;
            Thread.sleep(100);
        }
        throw new AssertionError(expression + " does not come true: " + js("document.body.innerText") + complaints);
    }

    /// The whole page as a picture.
    public void picture(Path png) throws Exception {
        JsonNode size = call("Page.getLayoutMetrics", Map.of()).path("cssContentSize");
        JsonNode r = call("Page.captureScreenshot",
                Map.of("format", "png", "captureBeyondViewport", true, "clip", Map.of("x", 0, "y", 0, "width",
                        size.path("width").asDouble(), "height", size.path("height").asDouble(), "scale", 1)));
        Files.write(png, Base64.getDecoder().decode(r.path("data").asString("")));
    }

    @Override
    public void close() {
        socket.abort();
        http.close();
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
        try {
            process.waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
