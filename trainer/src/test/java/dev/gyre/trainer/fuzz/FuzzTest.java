package dev.gyre.trainer.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.model.files.Json;
import dev.gyre.model.fuzz.Fuzz;
import dev.gyre.model.fuzz.Mutations;
import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.SweepConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ExampleReader;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.record.Metrics;
import dev.gyre.trainer.record.MetricsLog;
import dev.gyre.trainer.record.Provenance;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.report.Comparison;
import dev.gyre.trainer.report.Report;
import dev.gyre.trainer.report.Results;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// The readers of configurations, data and run directories, see [Fuzz].
class FuzzTest {
    private static final String RUN = """
            {"model": {"path": "base", "base": "nf4"},
            "adapter": {"method": "oft", "block_size": 8, "targets": ["q_proj", "v_proj"], "dropout": 0.1,
            "cayley": "neumann", "exclude": ["lm_head"], "layers": [0, 1]},
            "data": {"train": "train.jsonl", "valid": "valid.jsonl", "also_valid": {"old": "old.jsonl"},
            "train_on": "all", "too_long": "drop", "date": "2026-01-02"},
            "train": {"steps": 8, "seq_len": 32, "buckets": [8, 16], "micro_batch": 2, "lr": 1e-3, "warmup": 2},
            "eval": {"every": 2, "result": "best"}, "results": {"answers": 3, "forgetting": "old.jsonl"},
            "output": {"dir": "out", "keep": 1}, "device": "cpu:1", "seed": 7}
            """;

    @TempDir
    Path dir;

    private static ObjectNode parsed(String text) {
        byte[] b = text.getBytes(StandardCharsets.UTF_8);
        return Json.parseObject(Path.of("seed"), "", b, 0, b.length);
    }

    private static <T> T any(List<T> of, SplittableRandom random) {
        return of.get(random.nextInt(of.size()));
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] b) {
        return new String(b, StandardCharsets.UTF_8);
    }

    /// As a person would write it: sections indented, texts as they are, or else in one line.
    private static String yaml(JsonNode n, String indent, SplittableRandom random) {
        if (n.isObject() && !n.isEmpty() && random.nextInt(12) > 0) {
            StringBuilder out = new StringBuilder();
            n.properties().forEach(e -> out.append('\n').append(indent)
                    .append(random.nextInt(20) == 0 ? any(SCALARS, random) : e.getKey()).append(": ")
                    .append(yaml(e.getValue(), indent + "  ", random)));
            return out.toString();
        }
        if (n.isArray() && !n.isEmpty() && random.nextInt(3) == 0) {
            StringBuilder out = new StringBuilder();
            n.forEach(e -> out.append('\n').append(indent).append("- ").append(yaml(e, indent + "  ", random)));
            return out.toString();
        }
        if (random.nextInt(60) == 0)
            return any(SCALARS, random);
        return n.isString() && random.nextInt(4) > 0 && n.stringValue().length() < 100 ? n.stringValue()
                : n.toString();
    }

    private static final List<String> SCALARS = List.of("~", "*a", "&a x", "!!binary aGk=", "<<", "1e400", "0x10",
            ".inf",
            ".nan", "2026-01-02", "yes", "- - -", "|", "> ", "? x", "%TAG", "---", "...", "'", "\"", "{", "[", "]", "#",
            "@", "`", "\t", "1_000", "0o17", "-0", "&a [*a]", "!x y", "1e-400", "99999999999999999999",
            "2147483648", "\u2028", "\u0085");

    private static Fuzz.Source yaml(Mutations changes, String... documents) {
        List<ObjectNode> all = List.of(documents).stream().map(FuzzTest::parsed).toList();
        return random -> Mutations.damaged(utf8(yaml(changes.of(any(all, random), random), "", random)), random);
    }

    private static final Mutations KEYS = Mutations.with("model", "adapter", "method", "lora", "psoft", "qgoft", "full",
            "boft", "hra", "dora", "adalora", "all-linear", "(q|v)_proj", "r", "alpha", "rank_pattern", "steps",
            "epochs",
            "null", "1e9", "cuda:99", "bf16", "train.lr", "[1, 2]", "also_valid", "2026-13-45", "../x");

    @Test
    void runConfigurations() throws IOException {
        Fuzz.run("run.yaml", 800, yaml(KEYS, RUN, """
                {"model": {"path": "base"}, "adapter": {"method": "lora", "r": 8, "alpha": 16, "targets": "all-linear",
                "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"v_proj": 2}, "bias": "all"},
                "data": {"train": "a.txt"}, "train": {"epochs": 0.5, "accumulate": 3}, "output": {"dir": "o"}}
                """), input -> {
            RunConfig c = ConfigReader.parse("run.yaml", text(input), RunConfig.class, List.of());
            // what is written down of a run is that run
            assertThat(ConfigReader.parse("again.yaml", ConfigWriter.resolved(c), RunConfig.class, List.of()))
                    .isEqualTo(c);
            ConfigWriter.flat(c);
        });
    }

    @Test
    void settingsOnTheCommandLine() throws IOException {
        ObjectNode all = parsed("""
                {"train.lr": 1e-3, "adapter.method": "lora", "adapter": {"method": "oft"}, "data.also_valid": {"a": "b"},
                "train.buckets": [8], "model.path": "x", "output.dir": "out", "eval": null, "seed": 3}
                """);
        Fuzz.run("--set", 300, random -> utf8(yaml(KEYS.of(all, random), "", random)), input -> {
            List<String> settings = text(input).lines().filter(l -> !l.isBlank())
                    .map(l -> l.replaceFirst("^([^:]*): ?", "$1=")).toList();
            RunConfig c = ConfigReader.parse("run.yaml", RUN, RunConfig.class, settings);
            assertThat(ConfigReader.parse("again.yaml", ConfigWriter.resolved(c), RunConfig.class, List.of()))
                    .isEqualTo(c);
        });
    }

    @Test
    void pretrainingConfigurations() throws IOException {
        Fuzz.run("pretrain.yaml", 300, yaml(Mutations.with("hidden_size", "heads", "kv_heads", "layers", "tiny", "bf16",
                "vocab_size", "context"), """
                        {"model": {"preset": "tiny", "hidden_size": 24, "intermediate_size": 40, "heads": 3, "kv_heads": 1,
                        "layers": 2, "context": 64, "dtype": "f32"}, "data": {"train": "t.jsonl"},
                        "train": {"steps": 4, "seq_len": 40}, "eval": {"every": 2}, "output": {"dir": "base"}}
                        """), input -> {
                    PretrainConfig c = ConfigReader.parse("p.yaml", text(input), PretrainConfig.class, List.of());
                    assertThat(ConfigReader.parse("again.yaml", ConfigWriter.resolved(c), PretrainConfig.class,
                            List.of())).isEqualTo(c);
                });
    }

    @Test
    void sweepConfigurations() throws IOException {
        Fuzz.run("sweep.yaml", 400, yaml(KEYS, """
                {"run": "run.yaml", "output": "runs/s", "set": {"train.steps": 150},
                "runs": {"lora": {"adapter.method": "lora", "train.lr": 2e-3}, "oft": {"adapter.method": "oft"}},
                "grid": {"model.base": ["f32", "nf4"], "train.lr": [1e-3, 2e-3]},
                "skip": [{"adapter.method": "lora", "model.base": "nf4"}]}
                """), input -> {
            SweepConfig c = ConfigReader.parse("sweep.yaml", text(input), SweepConfig.class, List.of());
            for (SweepConfig.Entry e : c.entries()) // becomes a folder
                assertThat(e.name()).matches("[A-Za-z0-9._=-]+").isNotIn(".", "..");
        });
    }

    private static final List<String> ROWS = List.of("{\"text\": \"Once upon a time.\"}",
            "{\"prompt\": \"2+2=\", \"completion\": \"4\"}",
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"completion\": [{\"role\": \"assistant\","
                    + " \"content\": \"a\"}]}",
            """
                    {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a", "weight": 0}, {"role": "user", "content": "é🙂"},
                    {"role": "assistant", "content": "b"}], "chat_template_kwargs": {"x": 1}}""",
            """
                    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls":
                    [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
                    {"role": "tool", "content": "1"}, {"role": "assistant", "content": "one", "reasoning_content": "r"}],
                    "tools": [{"type": "function", "function": {"name": "f"}}]}""",
            """
                    {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}""",
            """
                    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"},
                    {"from": "function_call", "value": "{\\"name\\": \\"f\\", \\"arguments\\": {}}"},
                    {"from": "observation", "value": "1"}, {"from": "gpt", "value": "b"}], "system": "s",
                    "tools": "[{\\"name\\": \\"f\\"}]"}""",
            "{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\", \"history\": [[\"q\", \"a\"]], \"system\": \"s\"}",
            "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}");

    private static final Mutations DATA = Mutations.with("messages", "role", "content", "assistant", "user", "weight",
            "train", "loss_mask", "prompt", "completion", "conversations", "from", "value", "gpt", "text", "tools",
            "system", "history", "tool_calls", "type", "image_url", "function_call", "0", "[]");

    @Test
    void data() throws IOException {
        List<ObjectNode> rows = ROWS.stream().map(FuzzTest::parsed).toList();
        Path model = dir.resolve("model");
        Files.createDirectories(model);
        new ByteTokenizer().save(model);
        Files.writeString(model.resolve("chat_template.jinja"),
                """
                {% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in \
                m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}{{ \
                m.reasoning_content or '' }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}""");
        ModelText text = ModelText.load(model);
        Path file = dir.resolve("data.jsonl");
        TokenizedSet.Rules rules =
                new TokenizedSet.Rules(RunConfig.Format.AUTO, RunConfig.TrainOn.COMPLETION, RunConfig.TooLong.TRUNCATE,
                        48);
        Fuzz.run("data.jsonl", 1500, random -> {
            List<String> lines = new ArrayList<>();
            for (int n = 1 + random.nextInt(2); n > 0; n--)
                lines.add((random.nextInt(4) == 0 ? any(rows, random) : DATA.of(any(rows, random), random)).toString());
            return Mutations.damaged(utf8(String.join(any(List.of("\n", "\r\n", "\n\n"), random), lines)), random);
        }, input -> {
            Files.write(file, input);
            List<Example> examples = new ArrayList<>();
            ExampleReader.read(file, RunConfig.Format.AUTO, (e, _) -> examples.add(e));
            TokenizedSet set = TokenizedSet.read(file, rules, text);
            assertThat(set.size() + set.dropped()).isGreaterThanOrEqualTo(examples.isEmpty() ? 0 : 1);
            for (ModelText.Task t : text.tasks(examples))
                assertThat(t.prompt()).isNotEmpty();
            assertThat(Batches.inOrder(set, 2, 48, true, 0)).isNotEmpty();
        });
        Path book = dir.resolve("book.txt");
        TokenizedSet.Rules split =
                new TokenizedSet.Rules(RunConfig.Format.AUTO, RunConfig.TrainOn.ALL, RunConfig.TooLong.SPLIT, 48);
        Fuzz.run("book.txt", 200, random -> {
            StringBuilder s = new StringBuilder();
            for (int n = random.nextInt(60); n > 0; n--)
                s.append(any(
                        List.of("word ", "\n", "\r\n", "  ", "\t", "é", "🙂", "\u0000", "\uFEFF", "\u2028",
                                "x".repeat(90)),
                        random));
            return Mutations.damaged(utf8(s.toString()), random);
        }, input -> {
            Files.write(book, input);
            TokenizedSet set = TokenizedSet.read(book, split, text);
            // every token but the first of a row is a target, and rows overlap by one
            assertThat(set.targets()).isEqualTo(set.tokens() - set.size());
        });
        text.close();
    }

    private static final String STEP =
            "{\"step\":1,\"epoch\":0.1,\"loss\":2.5,\"grad_norm\":1.5,\"lr\":1e-3,\"trained_tokens\":9,\"tokens\":64,\"seconds\":0.02}";
    private static final List<String> LINES = List.of(STEP, STEP.replace("1,\"epoch", "2,\"epoch"),
            STEP.replace("2.5", "\"NaN\""),
            "{\"step\":2,\"valid_loss\":2.4,\"valid_tokens\":30,\"seconds\":0.1,\"also_valid\":{\"old\":3.5}}",
            "{\"step\":2,\"right\":1,\"seconds\":0.1,\"samples\":[{\"prompt\":\"é🙂\",\"expected\":\"b\",\"answer\":\"</script>\"}]}",
            "{\"step\":2,\"skew_norm\":0.2,\"skew_norm_module\":\"m\",\"angle\":3,\"orthogonality_defect\":1e-7,\"modules\":{\"m\":[0.2,3,1e-7]}}");

    private static byte[] metrics(SplittableRandom random) {
        Mutations changes = Mutations.with("step", "loss", "valid_loss", "samples", "modules", "NaN", "Infinity",
                "seconds", "also_valid");
        StringBuilder s = new StringBuilder();
        for (int n = random.nextInt(6); n >= 0; n--) {
            ObjectNode o = parsed(any(LINES, random));
            s.append(random.nextInt(2) == 0 ? o : changes.of(o, random)).append('\n');
        }
        return Mutations.damaged(utf8(s.toString()), random);
    }

    /// A line that is not whole is passed over, so nothing in this file is refused, and it can be written on.
    @Test
    void metrics() throws IOException {
        Path file = dir.resolve("metrics.jsonl");
        Fuzz.runWithoutRefusal("metrics.jsonl", 500, FuzzTest::metrics, input -> {
            Metrics m = Metrics.read(Files.write(file, input));
            m.medianStepSeconds();
            m.tokensPerSecond();
            int lines = m.with("step").size();
            new MetricsLog(file, Long.MAX_VALUE, () -> 0).close();
            assertThat(Metrics.read(file).with("step")).hasSize(lines);
        });
    }

    private static final String RESULTS = """
            {"method": "oft", "base": "nf4", "model": "base", "device": "cpu", "steps": 8, "trained": 1000,
            "parameters": 10000, "result_bytes": 4000, "step_seconds": 0.02, "tokens_per_second": 1000,
            "memory": {"planned": 1000000, "weights": 1, "trained": 1, "activations": 1, "process": 0},
            "before": {"loss": 9, "exact": 0.1, "tokens": 0.2, "answered": 10, "forgetting": 1.5, "kept": 1},
            "after": {"loss": 1, "exact": 0.9, "tokens": 0.9, "answered": 10, "forgetting": 1.6, "kept": 0.8},
            "rotation": {"skew_norm": 0.5, "angle": 10, "defect": 1e-7}}
            """;

    /// All that a finished run left, as `report` and `compare` read it.
    @Test
    void runDirectories() throws IOException {
        ObjectNode files = parsed("{\"results.json\": " + RESULTS + ", \"run.yaml\": " + RUN + """
                , "report.json": {"data": {"examples": 3, "truncated": 1, "dropped": 0, "histogram": [[1, 2, 3]],
                "shown": [[["a", true]]]}, "samples": [{"prompt": "p", "expected": "e", "before": "b", "after": "a"}],
                "energy": [{"weight": "w", "before": 1, "after": 1}], "timings": [{"kind": "k", "calls": 1, "seconds": 1,
                "gflops": 1}], "merge": {"relative": 1e-6}}, "provenance.json": {"gyre": "0.1.0", "inputs": {"a": "b"},
                "resumed": []}, "sweep.json": {"runs": ["other", "run"], "failed": {"third": "why"}}}
                """);
        Path folder = Files.createDirectories(dir.resolve("sweep"));
        Path run = Files.createDirectories(folder.resolve("run"));
        Files.createDirectory(run.resolve("adapter"));
        Path other = Files.createDirectories(folder.resolve("other"));
        Files.writeString(other.resolve("run.yaml"), RUN);
        Files.writeString(other.resolve("results.json"), RESULTS);
        Files.writeString(other.resolve("metrics.jsonl"), "");
        int scripts = Files.readString(Report.write(other)).split("<script", -1).length;
        Mutations changes = Mutations.with("loss", "memory", "before", "after", "rotation", "planned", "step_seconds",
                "<script>", "=1+1", "samples", "histogram", "runs", "failed", "resumed", "inputs", "1e999");
        Fuzz.run("results.json, ...", 60, random -> {
            ObjectNode o = changes.of(files, random);
            byte[] all = Mutations.bytes(o, random);
            byte[] lines = metrics(random);
            return ByteBuffer.allocate(4 + lines.length + all.length).putInt(lines.length).put(lines).put(all).array();
        }, input -> {
            int n = ByteBuffer.wrap(input).getInt();
            byte[] lines = Arrays.copyOfRange(input, 4, 4 + n);
            ObjectNode o = Json.parseObject(Path.of("files"), "", input, 4 + n, input.length - 4 - n);
            for (var e : o.properties())
                if (List.of("results.json", "run.yaml", "report.json", "provenance.json").contains(e.getKey()))
                    Files.write(run.resolve(e.getKey()), Json.MAPPER.writeValueAsBytes(e.getValue()));
            Files.write(folder.resolve("sweep.json"), Json.MAPPER.writeValueAsBytes(o.path("sweep.json")));
            Files.write(run.resolve("metrics.jsonl"), lines);
            Provenance.resume(RunDir.open(run), (ObjectNode) Json.MAPPER.readTree(
                    "{\"gyre\": \"1\", \"started\": \"now\", \"jdk\": \"25\", \"device\": \"cpu\", \"inputs\": {\"a\": \"b\"}}"));
            Comparison c = Comparison.of(List.of(folder), "other");
            c.table().text(true);
            c.table().markdown(true);
            c.table().csv();
            c.table().latex(true);
            c.table().html("x");
            String page = Files.readString(Report.write(run));
            assertThat(page.split("<script", -1)).as("what is in the files is no part of the page").hasSize(scripts);
            Results.read(run);
            ModelRef.of(run, List.of());
        });
    }

    @Test
    void checkpoints() throws IOException {
        RunDir run = RunDir.create(Files.createDirectories(dir.resolve("run")));
        Files.writeString(run.config(), RUN);
        run.save(new Checkpoint(40, new Batches.Position(4, 8), 0.5, 30, 7,
                new Checkpoint.Watch(List.of(1.0, 0.5), 0.75, 3),
                new TrainState(new float[] {1, 2}, new float[] {3, 4}, new float[] {5, 6})), 0,
                d -> {
                });
        Path json = run.checkpoint(40).resolve("trainer_state.json");
        Path tensors = run.checkpoint(40).resolve("trainer_state.safetensors");
        ObjectNode good = Json.readObject(json);
        byte[] bytes = Files.readAllBytes(tensors);
        Fuzz.run("trainer_state.json", 400, random -> {
            byte[] t = bytes.clone();
            for (int n = random.nextInt(3); n > 0; n--)
                t[random.nextInt(t.length)] = (byte) random.nextInt(256);
            byte[] j = Mutations.bytes(Mutations.with("step", "watch", "recent_losses", "format").of(good, random),
                    random);
            return ByteBuffer.allocate(4 + j.length + t.length).putInt(j.length).put(j).put(t).array();
        }, input -> {
            int n = ByteBuffer.wrap(input).getInt();
            Files.write(json, Arrays.copyOfRange(input, 4, 4 + n));
            Files.write(tensors, Arrays.copyOfRange(input, 4 + n, input.length));
            Checkpoint c = run.latest();
            assertThat(c).isNotNull();
        });
    }
}
