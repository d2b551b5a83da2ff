package dev.gyre.trainer.serve;

import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/// Counts for Prometheus, in its text format.
final class ServeMetrics {
    private static final double[] SECONDS = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

    private static final class Histogram {
        private final LongAdder[] buckets = new LongAdder[SECONDS.length];
        private final LongAdder count = new LongAdder();
        private final AtomicLong nanos = new AtomicLong();

        Histogram() {
            for (int i = 0; i < buckets.length; i++)
                buckets[i] = new LongAdder();
        }

        void add(long ns) {
            for (int i = 0; i < SECONDS.length; i++)
                if (ns <= SECONDS[i] * 1e9) {
                    buckets[i].increment();
                    break;
                }
            count.increment();
            nanos.addAndGet(ns);
        }

        void write(StringBuilder out, String name, String help) {
            head(out, name, "histogram", help);
            long below = 0;
            for (int i = 0; i < SECONDS.length; i++) {
                below += buckets[i].sum();
                out.append(name).append("_bucket{le=\"").append(SECONDS[i]).append("\"} ").append(below).append('\n');
            }
            out.append(name).append("_bucket{le=\"+Inf\"} ").append(count.sum()).append('\n');
            out.append(name).append("_sum ").append(nanos.get() / 1e9).append('\n');
            out.append(name).append("_count ").append(count.sum()).append('\n');
        }
    }

    private final Map<String, LongAdder> requests = new ConcurrentSkipListMap<>();
    private final Histogram whole = new Histogram();
    private final Histogram first = new Histogram();
    private final LongAdder prompt = new LongAdder();
    private final LongAdder cached = new LongAdder();
    private final LongAdder completion = new LongAdder();
    private final LongAdder gone = new LongAdder();

    /// @param path of ours, so that there are few
    void request(String path, int status) {
        requests.computeIfAbsent(String.format(Locale.ROOT, "{path=\"%s\",status=\"%d\"}", path, status),
                _ -> new LongAdder()).increment();
    }

    void firstToken(long nanos) {
        first.add(nanos);
    }

    /// @param held tokens of the prompt that were in the cache
    void answered(int promptTokens, int held, int tokens, long nanos) {
        prompt.add(promptTokens);
        cached.add(held);
        completion.add(tokens);
        whole.add(nanos);
    }

    /// A client left before its answer was complete.
    void left() {
        gone.increment();
    }

    String text(Engine engine) {
        StringBuilder out = new StringBuilder();
        head(out, "gyre_requests_total", "counter", "Requests answered, by path and status.");
        requests.forEach((labels, n) -> out.append("gyre_requests_total").append(labels).append(' ').append(n.sum())
                .append('\n'));
        whole.write(out, "gyre_answer_seconds", "From a complete request to the end of its answer.");
        first.write(out, "gyre_first_token_seconds", "From a complete request to its first token.");
        one(out, "gyre_prompt_tokens_total", "counter", "Tokens of the prompts of answered requests.", prompt.sum());
        one(out, "gyre_cached_prompt_tokens_total", "counter", "Those of them that a slot held already.", cached.sum());
        one(out, "gyre_completion_tokens_total", "counter", "Tokens of answers.", completion.sum());
        one(out, "gyre_clients_gone_total", "counter", "Clients that left before their answer was complete.",
                gone.sum());
        one(out, "gyre_fed_tokens_total", "counter", "Tokens of prompts that were computed.", engine.fed());
        one(out, "gyre_passes_total", "counter", "Passes over the weights that gave tokens.", engine.passes());
        one(out, "gyre_pass_tokens_total", "counter", "Tokens that they gave.", engine.rows());
        one(out, "gyre_slots", "gauge", "Sequences that can be answered together.", engine.slots());
        one(out, "gyre_slots_busy", "gauge", "Sequences that are being answered.", engine.busy());
        one(out, "gyre_queue_length", "gauge", "Requests that wait for a slot.", engine.queued());
        return out.toString();
    }

    private static void one(StringBuilder out, String name, String type, String help, long value) {
        head(out, name, type, help);
        out.append(name).append(' ').append(value).append('\n');
    }

    private static void head(StringBuilder out, String name, String type, String help) {
        out.append("# HELP ").append(name).append(' ').append(help).append("\n# TYPE ").append(name).append(' ')
                .append(type).append('\n');
    }
}
