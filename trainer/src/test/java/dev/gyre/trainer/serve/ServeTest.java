package dev.gyre.trainer.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.Json;
import dev.gyre.model.token.ChatTemplate.Message;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.AuthenticationException;
import dev.langchain4j.exception.ModelNotFoundException;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiLanguageModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import dev.langchain4j.model.output.FinishReason;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/// Requests as LangChain4j's OpenAI client and others send them; answers are those of `gyre generate`.
class ServeTest {
    private static final String KEY = "a-key";
    private static ServeFixture f;

    @BeforeAll
    static void serve(@TempDir Path dir) throws IOException {
        f = new ServeFixture(dir, ServeOptions.local(0, 8, 256).withKey(KEY));
    }

    @AfterAll
    static void end() {
        f.close();
    }

    private static OpenAiChatModel chat(String model, double temperature, int seed) {
        return OpenAiChatModel.builder().baseUrl(f.server.address() + "v1").apiKey(KEY).modelName(model)
                .temperature(temperature).seed(seed).maxTokens(24).maxRetries(0).build();
    }

    @Test
    void langChain4jTalksToIt() {
        ChatResponse r = chat("base", 0, 1).chat(UserMessage.from("copy abc"));
        assertThat(r.aiMessage().text())
                .isEqualTo(f.chatted("base", List.of(new Message("user", "copy abc")), 24, 0, 1));
        assertThat(r.modelName()).isEqualTo("base");
        assertThat(r.tokenUsage().inputTokenCount())
                .isEqualTo(f.served.text().prompt(List.of(new Message("user", "copy abc"))).length);
        assertThat(r.tokenUsage().outputTokenCount()).isPositive();
        assertThat(r.finishReason()).isIn(FinishReason.STOP, FinishReason.LENGTH);

        ChatResponse more = chat("oft", 0.9, 7).chat(UserMessage.from("copy abc"), AiMessage.from("abc"),
                UserMessage.from("sort hello"));
        assertThat(more.aiMessage().text()).isEqualTo(f.chatted("oft", List.of(new Message("user", "copy abc"),
                new Message("assistant", "abc"), new Message("user", "sort hello")), 24, 0.9, 7));

        OpenAiLanguageModel text = OpenAiLanguageModel.builder().baseUrl(f.server.address() + "v1").apiKey(KEY)
                .modelName("base").temperature(0.0).maxRetries(0).build();
        assertThat(text.generate("copy abc = ").content())
                .isEqualTo(f.generated("base", "copy abc = ", 512, 0, 1, 1)).isEqualTo("abc");
    }

    @Test
    void langChain4jStreams() throws Exception {
        OpenAiStreamingChatModel model = OpenAiStreamingChatModel.builder().baseUrl(f.server.address() + "v1")
                .apiKey(KEY).modelName("lora").temperature(1.0).seed(3).maxTokens(40).build();
        StringBuilder parts = new StringBuilder();
        CompletableFuture<ChatResponse> whole = new CompletableFuture<>();
        model.chat(ChatRequest.builder().messages(UserMessage.from("copy abc")).build(),
                new StreamingChatResponseHandler() {
                    @Override
                    public void onPartialResponse(String partial) {
                        parts.append(partial);
                    }

                    @Override
                    public void onCompleteResponse(ChatResponse response) {
                        whole.complete(response);
                    }

                    @Override
                    public void onError(Throwable error) {
                        whole.completeExceptionally(error);
                    }
                });
        ChatResponse r = whole.get(60, TimeUnit.SECONDS);
        String expected = f.chatted("lora", List.of(new Message("user", "copy abc")), 40, 1, 3);
        assertThat(parts.toString()).isEqualTo(expected);
        assertThat(r.aiMessage().text()).isEqualTo(expected);
        assertThat(r.tokenUsage().outputTokenCount()).isPositive();
    }

    @Test
    void langChain4jSeesErrors() {
        OpenAiChatModel wrong = OpenAiChatModel.builder().baseUrl(f.server.address() + "v1").apiKey("other")
                .modelName("base").maxRetries(0).build();
        assertThatThrownBy(() -> wrong.chat("x")).isInstanceOf(AuthenticationException.class)
                .hasMessageContaining("the API key is wrong");
        assertThatThrownBy(() -> chat("gpt-9", 0, 1).chat("x")).isInstanceOf(ModelNotFoundException.class)
                .hasMessageContaining("there is no model gpt-9; there are base, oft, lora, hra, oft-16");
    }

    /// Eight clients, the base and four adapters, prompts of all lengths: every answer is that of the adapter alone.
    @Test
    void adaptersNeverMix() throws Exception {
        int clients = 8;
        try (ExecutorService all = Executors.newFixedThreadPool(clients)) {
            List<Future<Void>> ends = new ArrayList<>();
            for (int c = 0; c < clients; c++) {
                int client = c;
                ends.add(all.submit(() -> {
                    Random random = new Random(client);
                    for (int i = 0; i < 12; i++) {
                        String model = ServeFixture.NAMES.get((client + i) % ServeFixture.NAMES.size());
                        String prompt = "copy " + "abcdefghij".repeat(12).substring(0, 1 + random.nextInt(100))
                                + " = ";
                        int most = 1 + random.nextInt(40);
                        double temperature = random.nextInt(3) / 2.0;
                        double topP = 0.5 + 0.5 * random.nextInt(2);
                        HttpResponse<String> r = f.post("v1/completions", """
                                {"model": "%s", "prompt": "%s", "max_tokens": %d, "temperature": %s, "top_p": %s,
                                 "seed": %d}""".formatted(model, prompt, most, temperature, topP, i),
                                "Authorization", "Bearer " + KEY);
                        assertThat(r.statusCode()).as(r.body()).isEqualTo(200);
                        JsonNode choice = Json.MAPPER.readTree(r.body()).path("choices").get(0);
                        assertThat(choice.path("text").stringValue()).as(model)
                                .isEqualTo(f.generated(model, prompt, most, temperature, topP, i));
                    }
                    return null;
                }));
            }
            for (Future<Void> e : ends)
                e.get(5, TimeUnit.MINUTES);
        }
    }

    private static HttpResponse<String> ask(String path, String body) throws IOException, InterruptedException {
        return f.post(path, body, "Authorization", "Bearer " + KEY);
    }

    @Test
    void aStreamIsEventsUntilDone() throws Exception {
        HttpResponse<String> r = ask("v1/chat/completions", """
                {"model": "hra", "messages": [{"role": "system", "content": "s"},
                  {"role": "user", "content": [{"type": "text", "text": "copy "}, {"type": "text", "text": "ab"}]}],
                 "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 9, "seed": 4,
                 "temperature": 0.7, "n": 1, "presence_penalty": 0, "tools": [], "user": "me"}""");
        assertThat(r.statusCode()).as(r.body()).isEqualTo(200);
        assertThat(r.headers().firstValue("Content-Type")).contains("text/event-stream; charset=utf-8");
        String[] events = r.body().split("\n\n");
        assertThat(events[events.length - 1]).isEqualTo("data: [DONE]");
        StringBuilder text = new StringBuilder();
        List<JsonNode> chunks = new ArrayList<>();
        for (String e : events)
            if (!e.equals("data: [DONE]"))
                chunks.add(Json.MAPPER.readTree(e.substring("data: ".length())));
        assertThat(chunks.getFirst().path("choices").get(0).path("delta").path("role").stringValue())
                .isEqualTo("assistant");
        for (JsonNode c : chunks) {
            assertThat(c.path("object").stringValue()).isEqualTo("chat.completion.chunk");
            assertThat(c.path("id")).isEqualTo(chunks.getFirst().path("id"));
            assertThat(c.has("usage")).isTrue();
            for (JsonNode choice : c.path("choices"))
                text.append(choice.path("delta").path("content").asString(""));
        }
        assertThat(text.toString()).isEqualTo(f.chatted("hra",
                List.of(new Message("system", "s"), new Message("user", "copy ab")), 9, 0.7, 4));
        JsonNode last = chunks.getLast();
        assertThat(last.path("choices")).isEmpty();
        JsonNode usage = last.path("usage");
        assertThat(usage.path("total_tokens").intValue())
                .isEqualTo(usage.path("prompt_tokens").intValue() + usage.path("completion_tokens").intValue());
        assertThat(chunks.get(chunks.size() - 2).path("choices").get(0).path("finish_reason").stringValue())
                .isIn("stop", "length");
    }

    @Test
    void stopStringsEndAnAnswerBeforeThem() throws Exception {
        String whole = f.generated("oft", "copy abcdef = ", 30, 1, 1, 5);
        assertThat(whole.length()).isGreaterThan(5);
        String stop = whole.substring(3, 5);
        for (boolean stream : new boolean[] {false, true}) {
            HttpResponse<String> r = ask("v1/completions", """
                    {"model": "oft", "prompt": ["copy abcdef = "], "max_tokens": 30, "temperature": 1, "seed": 5,
                     "stop": %s, "stream": %s}""".formatted(Json.MAPPER.writeValueAsString(List.of("~never~", stop)),
                    stream));
            assertThat(r.statusCode()).as(r.body()).isEqualTo(200);
            StringBuilder text = new StringBuilder();
            String finish = "";
            for (String part : stream ? r.body().replace("data: [DONE]", "").strip().split("\n\n")
                    : new String[] {"data: " + r.body()}) {
                JsonNode choice = Json.MAPPER.readTree(part.substring(6)).path("choices").get(0);
                text.append(choice.path("text").stringValue());
                finish = choice.path("finish_reason").asString("");
            }
            assertThat(text.toString()).isEqualTo(whole.substring(0, whole.indexOf(stop)));
            assertThat(finish).isEqualTo("stop");
        }
    }

    @Test
    void promptsMayBeTokens() throws Exception {
        int[] ids = f.served.text().prompt("copy abc = ");
        HttpResponse<String> r = ask("v1/completions",
                "{\"model\": \"base\", \"prompt\": " + Json.MAPPER.writeValueAsString(ids) + "}");
        assertThat(Json.MAPPER.readTree(r.body()).path("choices").get(0).path("text").stringValue()).isEqualTo("abc");
        assertThat(Json.MAPPER.readTree(r.body()).path("usage").path("prompt_tokens").intValue())
                .isEqualTo(ids.length);
    }

    @Test
    void modelsHealthMetricsAndThePage() throws Exception {
        HttpResponse<String> models = f.get("v1/models", "Authorization", "Bearer " + KEY);
        List<String> names = new ArrayList<>();
        Json.MAPPER.readTree(models.body()).path("data").forEach(m -> names.add(m.path("id").stringValue()));
        assertThat(names).isEqualTo(ServeFixture.NAMES);
        assertThat(f.get("v1/models/oft-16", "Authorization", "Bearer " + KEY).body()).contains("\"oft-16\"");
        assertThat(f.get("health").body()).isEqualTo("{\"status\":\"ok\"}");
        assertThat(f.get("metrics").statusCode()).isEqualTo(401);
        ask("v1/completions", "{\"model\": \"base\", \"prompt\": \"copy abc = \"}");
        String metrics = f.get("metrics", "Authorization", "Bearer " + KEY).body();
        assertThat(metrics).contains("gyre_requests_total{path=\"/v1/completions\",status=\"200\"}")
                .contains("gyre_answer_seconds_bucket{le=\"+Inf\"}").containsPattern("gyre_passes_total [1-9]")
                .contains("gyre_slots 8\n");
        for (String line : metrics.split("\n"))
            assertThat(line).matches("# (HELP|TYPE) gyre_.*|gyre_[a-z_]+(\\{[^}]*\\})? [0-9.E-]+");
        HttpResponse<String> page = f.get("");
        assertThat(page.statusCode()).isEqualTo(200);
        assertThat(page.headers().firstValue("Content-Security-Policy").orElseThrow()).contains("script-src 'nonce-");
        assertThat(page.body()).contains("v1/chat/completions").doesNotContain("NONCE");
    }
}
