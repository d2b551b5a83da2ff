package dev.gyre.trainer.serve;

import dev.gyre.kernels.CheckFailedException;
import dev.gyre.kernels.GyreException;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Sampler;
import java.io.IOException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// From a checked request to the body of its answer, as a whole or as a stream of events.
final class Answers {
    /// Seconds since 1970 when the server began.
    static final long STARTED = System.currentTimeMillis() / 1000;

    /// A client that has gone is noticed when something is written to it.
    private static final long HEARTBEAT = Duration.ofSeconds(5).toNanos();
    private static final long LOOKS_MILLIS = 250;

    private final Served served;
    private final Engine engine;
    private final ServeOptions options;
    private final ServeMetrics metrics;
    /// One text is cut into tokens at a time: many long ones take no more than a core.
    private final ReentrantLock tokenizing = new ReentrantLock();

    Answers(Served served, Engine engine, ServeOptions options, ServeMetrics metrics) {
        this.served = served;
        this.engine = engine;
        this.options = options;
        this.metrics = metrics;
    }

    static ApiError unknown(String name, List<String> names) {
        return new ApiError(404, "invalid_request_error", "model", "model_not_found",
                "there is no model " + name + "; there are " + String.join(", ", names));
    }

    /// The parts of an answer that are known before it begins.
    ///
    /// @param id and `created` as the API has them
    private record Head(String id, long created, String model, boolean chat) {
        ObjectNode json(String object) {
            return JsonNodeFactory.instance.objectNode().put("id", id).put("object", object).put("created", created)
                    .put("model", model);
        }
    }

    void answer(Question q, Reply reply) throws ApiError, IOException {
        long start = System.nanoTime();
        int model = served.names().indexOf(q.model());
        if (model < 0)
            throw unknown(q.model(), served.names());
        int[] prompt = prompt(q);
        int room = engine.positions() - prompt.length;
        if (room < 1)
            throw new ApiError(400, "invalid_request_error", q.messages() == null ? "prompt" : "messages",
                    "context_length_exceeded",
                    "the prompt has " + prompt.length + " tokens, and with its answer it may have "
                            + engine.positions());
        Sampler sampler = new Sampler(served.text().tokenizer().vocabSize(),
                Objects.requireNonNullElse(q.temperature(), options.temperature()),
                Objects.requireNonNullElse(q.topP(), options.topP()),
                Objects.requireNonNullElse(q.seed(), options.seed()));
        int most = Math.min(q.most() > 0 ? q.most() : options.maxTokens(), room);
        Engine.Answer a =
                engine.submit(new Engine.Ask(model, prompt, most, served.text().stops(), sampler));
        if (a == null && engine.closing())
            throw ApiError.server(503, "stopping", "the server is stopping");
        if (a == null)
            throw new ApiError(429, "rate_limit_error", null, "queue_full",
                    "all " + engine.slots() + " slots are busy and the queue is full; try again");
        Run run = new Run(q, a, prompt.length, start, new Head((q.messages() == null ? "cmpl-" : "chatcmpl-")
                + HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong()),
                System.currentTimeMillis() / 1000, q.model(), q.messages() != null), reply);
        try {
            run.all();
        } finally {
            a.cancel();
        }
    }

    private int[] prompt(Question q) throws ApiError {
        int[] given = q.tokens();
        int V = served.models().getFirst().config().vocabSize();
        if (given != null) {
            for (int t : given)
                if (t < 0 || t >= V)
                    throw ApiError.wrong("prompt", "token id " + t + " is outside the vocabulary of " + V);
            return given;
        }
        if (q.messages() != null && !served.text().hasTemplate())
            throw ApiError.wrong("messages",
                    "this model has no chat template; send the text as prompt to /v1/completions");
        tokenizing.lock();
        try {
            int[] ids = q.messages() != null ? served.text().prompt(q.messages())
                    : served.text().prompt(Objects.requireNonNull(q.prompt()));
            if (ids.length == 0)
                throw ApiError.wrong("prompt", "the prompt is empty and the model has no token that starts a text");
            return ids;
        } catch (GyreException | IllegalArgumentException e) {
            throw ApiError.wrong(q.messages() != null ? "messages" : "prompt", String.valueOf(e.getMessage()));
        } finally {
            tokenizing.unlock();
        }
    }

    /// One answer on its way.
    private final class Run {
        private final Question q;
        private final Engine.Answer a;
        private final int promptTokens;
        private final long start;
        private final Head head;
        private final Reply reply;
        private final StringBuilder text = new StringBuilder();
        private final StopStrings stops;
        private final StreamDecoder stream;
        private int tokens;
        private long spoke;
        private boolean started;

        Run(Question q, Engine.Answer a, int promptTokens, long start, Head head, Reply reply) {
            this.q = q;
            this.a = a;
            this.promptTokens = promptTokens;
            this.start = start;
            this.head = head;
            this.reply = reply;
            this.stops = new StopStrings(q.stops());
            this.stream = served.text().stream();
            this.spoke = start;
        }

        void all() throws ApiError, IOException {
            String end = null;
            while (end == null) {
                int t = next();
                inTime();
                if (t >= 0) {
                    if (tokens++ == 0)
                        metrics.firstToken(System.nanoTime() - start);
                    say(stops.add(stream.add(t)));
                    if (stops.hit())
                        end = "stop";
                } else
                    if (t == -1)
                        end = ended();
                    else
                        alive();
            }
            say(stops.add(stream.finish()));
            if (stops.hit())
                end = "stop";
            say(stops.finish());
            metrics.answered(promptTokens, a.held(), tokens, System.nanoTime() - start);
            if (q.stream())
                last(end);
            else
                whole(end);
        }

        private int next() throws IOException {
            try {
                return a.next(LOOKS_MILLIS);
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
        }

        private String ended() throws ApiError, IOException {
            return switch (Objects.requireNonNull(a.end())) {
                case STOP -> "stop";
                case LENGTH -> "length";
                case CANCELLED -> throw broken(ApiError.server(503, "stopping", "the server is stopping"));
                case FAILED -> {
                    GyreException e = Objects.requireNonNull(a.failure());
                    throw broken(
                            ApiError.server(500, e instanceof CheckFailedException ? "not_finite" : "internal_error",
                                    String.valueOf(e.getMessage())));
                }
            };
        }

        /// A stream can still say what happened; an answer that began as a whole one is cut off.
        private ApiError broken(ApiError e) throws IOException {
            if (q.stream() && reply.status() != 0)
                reply.piece("data: " + e.json() + "\n\n");
            return e;
        }

        private void inTime() throws ApiError, IOException {
            if (System.nanoTime() - start > Duration.ofSeconds(options.timeoutSeconds()).toNanos())
                throw broken(ApiError.server(503, "timeout", a.begun()
                        ? "the answer took longer than " + options.timeoutSeconds() + " seconds"
                        : "no slot was free for " + options.timeoutSeconds() + " seconds"));
        }

        /// No token for a while.
        private void alive() throws IOException {
            long now = System.nanoTime();
            if (now - spoke < HEARTBEAT)
                return;
            spoke = now;
            if (reply.status() == 0)
                reply.begin(q.stream() ? "text/event-stream; charset=utf-8" : "application/json");
            // a comment, or a space before the JSON
            reply.piece(q.stream() ? ":\n\n" : " ");
        }

        private void say(String piece) throws IOException {
            if (!q.stream()) {
                text.append(piece);
                return;
            }
            if (piece.isEmpty())
                return;
            if (tokens > 0 && !started)
                role();
            event(choice(piece, null));
        }

        private void role() throws IOException {
            started = true;
            if (reply.status() == 0)
                reply.begin("text/event-stream; charset=utf-8");
            if (!head.chat)
                return;
            ObjectNode o = head.json("chat.completion.chunk");
            ObjectNode choice = o.putArray("choices").addObject().put("index", 0);
            choice.putObject("delta").put("role", "assistant").put("content", "");
            choice.putNull("logprobs").putNull("finish_reason");
            event(o);
        }

        private ObjectNode choice(@Nullable String piece, @Nullable String end) {
            ObjectNode o = head.json(head.chat ? "chat.completion.chunk" : "text_completion");
            ObjectNode choice = o.putArray("choices").addObject().put("index", 0);
            if (head.chat) {
                ObjectNode delta = choice.putObject("delta");
                if (piece != null)
                    delta.put("content", piece);
            } else
                choice.put("text", Objects.requireNonNullElse(piece, ""));
            choice.putNull("logprobs").put("finish_reason", end);
            return o;
        }

        private void event(ObjectNode o) throws IOException {
            if (q.usage() && !o.has("usage"))
                o.putNull("usage");
            spoke = System.nanoTime();
            reply.piece("data: " + o + "\n\n");
        }

        private void last(String end) throws IOException {
            if (!started)
                role();
            event(choice(null, end));
            if (q.usage()) {
                ObjectNode o = head.json(head.chat ? "chat.completion.chunk" : "text_completion");
                o.putArray("choices");
                o.set("usage", usage());
                event(o);
            }
            reply.piece("data: [DONE]\n\n");
        }

        private void whole(String end) throws IOException {
            ObjectNode o = head.json(head.chat ? "chat.completion" : "text_completion");
            ObjectNode choice = o.putArray("choices").addObject().put("index", 0);
            if (head.chat)
                choice.putObject("message").put("role", "assistant").put("content", text.toString()).putNull("refusal");
            else
                choice.put("text", text.toString());
            choice.putNull("logprobs").put("finish_reason", end);
            o.set("usage", usage());
            if (reply.status() == 0)
                reply.json(200, o);
            else
                reply.piece(o.toString());
        }

        private ObjectNode usage() {
            ObjectNode u = JsonNodeFactory.instance.objectNode().put("prompt_tokens", promptTokens)
                    .put("completion_tokens", tokens).put("total_tokens", promptTokens + tokens);
            u.putObject("prompt_tokens_details").put("cached_tokens", a.held());
            return u;
        }
    }
}
