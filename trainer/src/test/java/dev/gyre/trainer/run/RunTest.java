package dev.gyre.trainer.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FolderLock;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.FakeTrainable;
import dev.gyre.trainer.loop.NumericException;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.record.MetricsLog;
import dev.gyre.trainer.record.RunDir;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Loop, checkpoints and run directory together, on a stand-in for the model.
class RunTest {
    @TempDir
    Path dir;
    private Path data;

    @BeforeEach
    void examples() throws IOException {
        Random random = new Random(5);
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < 40; i++)
            s.append("{\"text\":\"%s\"}\n".formatted("abcdefghij".substring(random.nextInt(5), 5 + random.nextInt(5))));
        data = dir.resolve("a.jsonl");
        Files.writeString(data, s);
    }

    private RunConfig config(String run, String... set) {
        return ConfigReader.parse("run.yaml", """
                model: {path: m}
                adapter: {method: full}
                data: {train: %s, valid: %s, also_valid: {same: %s}}
                train: {steps: 20, seq_len: 12, micro_batch: 2, accumulate: 2, lr: 0.05, warmup: 3}
                eval: {every: 4}
                output: {dir: %s, checkpoint_every: 5, keep: 2}
                """.formatted(data, data, data, dir.resolve(run)), RunConfig.class, List.of(set));
    }

    private final class Run {
        final RunConfig c;
        final RunDir out;
        final FakeTrainable trainee;
        final List<TrainListener> listeners = new ArrayList<>();
        BooleanSupplier stop = () -> false;

        Run(RunConfig c, boolean resume) {
            this(c, resume, new FakeTrainable());
        }

        Run(RunConfig c, boolean resume, FakeTrainable trainee) {
            this.c = c;
            this.trainee = trainee;
            Path path = Path.of(c.output().dir());
            out = resume ? RunDir.open(path) : RunDir.create(path);
            try (FolderLock _ = out.lock()) {
                if (!resume)
                    out.write("run.yaml", "");
            }
        }

        TrainLoop.Result run() {
            Checkpoint from = out.latest();
            try (MetricsLog metrics = new MetricsLog(out.metrics(), from == null ? 0 : from.step(),
                    () -> 0)) {
                listeners.add(metrics);
                TrainLoop<Batch> loop = TrainLoop.of(trainee, RunData.read(c, ModelText.bytes()), c.train())
                        .evaluating(c.eval().every(), c.eval().patience()).listening(listeners).stopping(stop)
                        .saving(new TrainLoop.Saver() {
                            @Override
                            public int every() {
                                return c.output().checkpointEvery();
                            }

                            @Override
                            public Path save(Checkpoint checkpoint) {
                                return out.save(checkpoint, c.output().keep(), d -> {
                                });
                            }
                        });
                return (from == null ? loop : loop.resume(from)).run();
            }
        }
    }

    private static String losses(Path metrics) throws IOException {
        return Files.readString(metrics).replaceAll("\"seconds\":[^}]*", "");
    }

    @Test
    void aRunKilledAtAnyStepEndsBitForBitLikeOneThatWasNot() throws IOException {
        Run whole = new Run(config("whole"), false);
        TrainLoop.Result r = whole.run();
        assertThat(r.finished()).isTrue();
        assertThat(whole.out.checkpoints()).as("the newest two and the best").contains(20L, r.bestStep());
        for (int kill = 1; kill < 20; kill += 3) {
            int at = kill;
            Run first = new Run(config("killed" + kill), false);
            first.listeners.add(new TrainListener() {
                @Override
                public void onStep(Step s) {
                    if (s.t() == at)
                        throw new IllegalStateException("killed");
                }
            });
            assertThatThrownBy(first::run).hasMessage("killed");
            // what a kill -9 in the middle of a line and of a checkpoint leaves behind
            Files.writeString(first.out.metrics(), "{\"step\":3,\"lo", StandardOpenOption.APPEND);
            Path litter = Files.createDirectory(
                    first.out.path().resolve(".checkpoint-5.tmp-01234567-89ab-cdef-0123-456789abcdef"));
            Files.writeString(litter.resolve("x"), "");
            Run second = new Run(config("killed" + kill), true);
            assertThat(litter).doesNotExist();
            TrainLoop.Result again = second.run();
            assertThat(second.trainee.state().params()).containsExactly(whole.trainee.state().params());
            assertThat(second.trainee.state().v()).containsExactly(whole.trainee.state().v());
            assertThat(losses(second.out.metrics())).isEqualTo(losses(whole.out.metrics()));
            assertThat(again.bestLoss()).isEqualTo(r.bestLoss());
            assertThat(again.bestStep()).isEqualTo(r.bestStep());
        }
    }

    @Test
    void aStopFinishesTheStepAndSaves() {
        Run r = new Run(config("stopped"), false);
        boolean[] asked = {false};
        r.stop = () -> asked[0];
        r.listeners.add(new TrainListener() {
            @Override
            public void onStep(Step s) {
                asked[0] = s.t() == 7;
            }
        });
        TrainLoop.Result result = r.run();
        assertThat(result.finished()).isFalse();
        assertThat(result.step()).isEqualTo(7);
        assertThat(r.out.checkpoints()).contains(7L);
        asked[0] = false;
        assertThat(new Run(config("stopped"), true).run().step()).isEqualTo(20);
    }

    @Test
    void aFinishedRunResumesToNothingAndMoreStepsGoOn() {
        new Run(config("x"), false).run();
        TrainLoop.Result again = new Run(config("x"), true).run();
        assertThat(again.finished()).isTrue();
        assertThat(again.saved()).isNull();
        assertThat(new Run(config("x", "train.steps=23"), true).run().step()).isEqualTo(23);
        TrainLoop.Result fewer = new Run(config("x", "train.steps=8"), true).run();
        assertThat(fewer.finished()).as("nothing is left to do").isTrue();
        assertThat(fewer.step()).isEqualTo(23);
    }

    @Test
    void nanStopsTheRunNamesStepAndLinesAndSavesNothingOfIt() throws IOException {
        FakeTrainable breaks = new FakeTrainable() {
            private int calls;

            @Override
            public double microBatch(Batch b, float scale) {
                return ++calls == 22 ? Double.NaN : super.microBatch(b, scale);
            }
        };
        Run r = new Run(config("nan"), false, breaks);
        assertThatThrownBy(r::run).isInstanceOf(NumericException.class)
                .hasMessageStartingWith("step 11: the loss is NaN in micro-batch 2 of 2 (" + data + " lines ")
                .hasMessageContaining("lower train.lr (now 0.05)");
        assertThat(r.out.checkpoints().getLast()).isEqualTo(10);
        assertThat(Files.readString(r.out.metrics())).doesNotContain("NaN").contains("\"step\":10").doesNotContain(
                "\"step\":11");
    }

    @Test
    void epochsAreCountedInSteps() {
        RunConfig c = ConfigReader.parse("run.yaml", """
                model: {path: m}
                adapter: {method: full}
                data: {train: %s, packing: false}
                train: {epochs: 1.5, seq_len: 12, micro_batch: 3, accumulate: 2}
                output: {dir: %s}
                """.formatted(data, dir.resolve("epochs")), RunConfig.class, List.of());
        Run r = new Run(c, false);
        long[] trained = {0};
        double[] epoch = {0};
        r.listeners.add(new TrainListener() {
            @Override
            public void onStep(Step s) {
                trained[0] += s.trained();
                epoch[0] = s.epoch();
            }
        });
        assertThat(r.run().step()).isEqualTo(10);
        assertThat(epoch[0]).isEqualTo(1.5);
    }

    @Test
    void aUsedDirectoryIsRefusedWithTheRemedy() throws IOException {
        new Run(config("x"), false);
        assertThatThrownBy(() -> new Run(config("x"), false)).isInstanceOf(FormatException.class)
                .hasMessageContaining("exists and is not empty; continue that run with --resume");
        assertThatThrownBy(() -> RunDir.open(dir.resolve("none"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("holds no run to resume");
        Files.createDirectory(dir.resolve("empty"));
        assertThat(RunDir.create(dir.resolve("empty")).latest()).isNull();
    }

    @Test
    void aDamagedCheckpointSaysSo() throws IOException {
        Run r = new Run(config("x"), false);
        r.run();
        Path last = r.out.checkpoint(20);
        Path json = last.resolve("trainer_state.json");
        String text = Files.readString(json);
        Files.writeString(json, text.replace("\"row\"", "\"raw\""));
        assertThatThrownBy(r.out::latest).isInstanceOf(FormatException.class)
                .hasMessageContaining("lacks the number 'row'");
        Files.writeString(json, text);
        Path tensors = last.resolve("trainer_state.safetensors");
        byte[] bytes = Files.readAllBytes(tensors);
        Files.write(tensors, java.util.Arrays.copyOf(bytes, bytes.length - 9));
        assertThatThrownBy(r.out::latest).isInstanceOf(FormatException.class);
    }
}
