package dev.gyre.trainer.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.dist.Collective;
import dev.gyre.dist.Threads;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.trainer.cli.TinyModel;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.LoopSettings;
import dev.gyre.trainer.config.PretrainConfig;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.record.RunDir;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Runs of several workers, as threads: their results, metrics and checkpoints have the bits of one worker's.
@Timeout(300)
class WorkersTest {
    @TempDir
    static Path dir;
    private static TinyModel tiny;

    @BeforeAll
    static void model() {
        tiny = TinyModel.in(dir, "hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1");
    }

    private static RunConfig config(Path out, String adapter, String... set) {
        return ConfigReader.parse("run.yaml", """
                model: {path: %s}
                adapter: %s
                data: {train: %s, valid: %s}
                train: {steps: 4, seq_len: 24, micro_batch: 1, accumulate: 4, lr: 1e-2}
                eval: {every: 2}
                results: {answers: 0, report: false}
                output: {dir: %s, checkpoint_every: 2, tensorboard: false}
                """.formatted(tiny.model(), adapter, tiny.train(), tiny.valid(), out), RunConfig.class, List.of(set));
    }

    private static TrainLoop.Result work(LoopSettings c, Collective all, boolean resume,
            List<TrainListener> listeners) {
        Backend backend = new CpuBackend(1);
        LanguageTraining t = c instanceof PretrainConfig p ? Pretraining.training(p)
                : FineTuning.training((RunConfig) c, backend);
        if (all.rank() > 0)
            return Follower.run(t, backend, all, "test", () -> false);
        try (TrainingRun<?> run = TrainingRun.open(t, resume, backend, "test", all)) {
            return run.run(listeners, () -> false);
        }
    }

    /// All workers of a run; the first failure of one is thrown, that of a worker that only heard of it is not.
    private static List<TrainLoop.Result> run(int workers, LoopSettings c, boolean resume) throws InterruptedException {
        List<Future<TrainLoop.Result>> futures = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(workers)) {
            for (Collective one : Threads.of(workers))
                futures.add(pool.submit(() -> {
                    try {
                        return work(c, one, resume, List.of());
                    } catch (RuntimeException e) {
                        one.abort(String.valueOf(e.getMessage()), 1);
                        throw e;
                    }
                }));
            List<TrainLoop.Result> out = new ArrayList<>();
            RuntimeException failure = null;
            for (Future<TrainLoop.Result> f : futures)
                try {
                    out.add(f.get());
                } catch (ExecutionException e) {
                    RuntimeException r = (RuntimeException) Objects.requireNonNull(e.getCause());
                    if (failure == null || failure instanceof dev.gyre.dist.WorkerException)
                        failure = r;
                }
            if (failure != null)
                throw failure;
            return out;
        }
    }

    private static String metrics(Path run) throws IOException {
        return Files.readString(run.resolve("metrics.jsonl")).replaceAll("\"(seconds|process)\":[^,}]*", "");
    }

    private static void assertSame(Path a, Path b) throws IOException {
        for (String f : List.of("adapter/adapter_model.safetensors", "adapter/adapter_config.json",
                "checkpoint-2/trainer_state.safetensors", "checkpoint-2/trainer_state.json",
                "checkpoint-4/trainer_state.safetensors", "checkpoint-4/trainer_state.json"))
            assertThat(b.resolve(f)).as(f).hasSameBinaryContentAs(a.resolve(f));
        assertThat(metrics(b)).isEqualTo(metrics(a));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"{method: oft, block_size: 8, dropout: 0.3}", "{method: oft, block_size: 8, form: weight_block}",
                "{method: boft, block_size: 4, factors: 2, dropout: 0.5}", "{method: psoft, r: 4}", "{method: goft}",
                "{method: qgoft}", "{method: hra, r: 2}", "{method: lora, r: 3, dropout: 0.3}", "{method: dora, r: 2}",
                "{method: adalora, target_r: 2, init_r: 3, tinit: 0, tfinal: 1, delta_t: 1}"})
    void everyMethodHasTheBitsOfOneWorker(String adapter) throws Exception {
        Path name = dir.resolve("m" + Integer.toHexString(adapter.hashCode()));
        Path one = name.resolve("1");
        assertThat(run(1, config(one, adapter), false).getFirst().finished()).isTrue();
        for (int n : new int[] {2, 4}) {
            Path many = name.resolve(Integer.toString(n));
            List<TrainLoop.Result> all = run(n, config(many, adapter), false);
            assertSame(one, many);
            for (TrainLoop.Result r : all) {
                assertThat(r.finished()).isTrue();
                assertThat(r.bestLoss()).isEqualTo(all.getFirst().bestLoss());
                assertThat(r.loss()).isEqualTo(all.getFirst().loss());
            }
        }
    }

    @Test
    void allWeightsHaveTheBitsOfOneWorker() throws Exception {
        run(1, config(dir.resolve("full/1"), "{method: full}"), false);
        run(2, config(dir.resolve("full/2"), "{method: full}"), false);
        assertThat(dir.resolve("full/2/checkpoint-4/trainer_state.safetensors"))
                .hasSameBinaryContentAs(dir.resolve("full/1/checkpoint-4/trainer_state.safetensors"));
        assertThat(metrics(dir.resolve("full/2"))).isEqualTo(metrics(dir.resolve("full/1")));
    }

    @Test
    void aNewModelHasTheBitsOfOneWorker() throws Exception {
        for (int n : new int[] {1, 2})
            run(n, ConfigReader.parse("pretrain.yaml", """
                    model: {preset: tiny, hidden_size: 24, intermediate_size: 40, heads: 3, kv_heads: 1}
                    data: {train: %s, valid: %s}
                    train: {steps: 4, seq_len: 24, micro_batch: 1, accumulate: 4, lr: 1e-2}
                    eval: {every: 2}
                    output: {dir: %s, checkpoint_every: 2, tensorboard: false}
                    """.formatted(tiny.train(), tiny.valid(), dir.resolve("new/" + n)), PretrainConfig.class,
                    List.of()), false);
        for (String f : List.of("model/model.safetensors", "checkpoint-2/trainer_state.safetensors",
                "checkpoint-4/trainer_state.safetensors"))
            assertThat(dir.resolve("new/2").resolve(f)).as(f).hasSameBinaryContentAs(dir.resolve("new/1").resolve(f));
        assertThat(metrics(dir.resolve("new/2"))).isEqualTo(metrics(dir.resolve("new/1")));
    }

    @Test
    void aRunIsResumedByAnotherNumberOfWorkers() throws Exception {
        String adapter = "{method: lora, r: 3, dropout: 0.3}";
        Path one = dir.resolve("resume/1");
        run(1, config(one, adapter), false);
        for (int[] n : new int[][] {{4, 1}, {1, 2}, {2, 4}}) {
            Path part = dir.resolve("resume/" + n[0] + n[1]);
            RunConfig c = config(part, adapter, "train.schedule=constant", "train.steps=2");
            RunConfig whole = config(part, adapter, "train.schedule=constant");
            run(n[0], c, false);
            run(n[1], whole, true);
            Path same = dir.resolve("resume/whole" + n[0] + n[1]);
            run(1, config(same, adapter, "train.schedule=constant"), false);
            assertThat(part.resolve("checkpoint-4/trainer_state.safetensors"))
                    .hasSameBinaryContentAs(same.resolve("checkpoint-4/trainer_state.safetensors"));
        }
    }

    /// Micro-batches without a trained token, and numbers of them that no power of two divides.
    @Test
    void unevenStepsAreEqualWithinRounding() throws Exception {
        Path one = dir.resolve("uneven/1");
        String[] set = {"train.accumulate=5", "train.steps=2", "data.packing=false"};
        run(1, config(one, "{method: oft, block_size: 8}", set), false);
        for (int n : new int[] {2, 3, 5}) {
            Path many = dir.resolve("uneven/" + n);
            run(n, config(many, "{method: oft, block_size: 8}", set), false);
            float[] a = RunDir.open(one).read(2).state().params();
            float[] b = RunDir.open(many).read(2).state().params();
            for (int i = 0; i < a.length; i++)
                assertThat(b[i]).isCloseTo(a[i], org.assertj.core.data.Offset.offset(2e-5f));
        }
    }

    @Test
    void moreWorkersThanMicroBatchesAreRefused() {
        assertThatThrownBy(() -> run(5, config(dir.resolve("many"), "{method: oft, block_size: 8}"), false))
                .isInstanceOf(InputException.class)
                .hasMessage("5 workers for the 4 micro-batches of a step; raise train.accumulate (and lower"
                        + " train.micro_batch) or start fewer workers");
        assertThat(dir.resolve("many")).doesNotExist();
    }

    @Test
    void workersOfAnotherConfigurationAreRefused() throws Exception {
        List<Future<?>> futures = new ArrayList<>();
        List<String> seen = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(2)) {
            for (Collective one : Threads.of(2))
                futures.add(pool.submit(() -> work(config(dir.resolve("other"), "{method: oft, block_size: 8}",
                        "train.lr=" + (one.rank() + 1)), one, false, List.of())));
            for (Future<?> f : futures)
                try {
                    f.get();
                } catch (ExecutionException e) {
                    seen.add(String.valueOf(Objects.requireNonNull(e.getCause()).getMessage()));
                }
        }
        assertThat(seen).hasSize(2).containsOnly(
                "worker 1 differs from worker 0 in the configuration; all workers of a run need the same");
        assertThat(dir.resolve("other")).doesNotExist();
    }
}
