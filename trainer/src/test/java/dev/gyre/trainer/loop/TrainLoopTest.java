package dev.gyre.trainer.loop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/// When the loop steps, evaluates, saves and ends, on a stand-in for the model and without any file.
class TrainLoopTest {
    private static final int STEPS = 20;

    private static RunConfig.Train train(String... set) {
        return ConfigReader.parse("train",
                "{steps: " + STEPS + ", seq_len: 12, micro_batch: 2, accumulate: 2, lr: 0.05, warmup: 3}",
                RunConfig.Train.class, List.of(set));
    }

    /// Forty short texts, for training and, with `validation`, to evaluate on.
    private static RunData data(RunConfig.Train t, boolean validation) {
        Random random = new Random(5);
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < 40; i++)
            examples.add(new Example.Text("abcdefghij".substring(random.nextInt(5), 5 + random.nextInt(5))));
        TokenizedSet set = TokenizedSet.of(examples, new TokenizedSet.Rules(RunConfig.Format.AUTO,
                RunConfig.TrainOn.ALL, RunConfig.TooLong.TRUNCATE, t.seqLen()), ModelText.bytes());
        RunData all = RunData.of(set, t, 1);
        return new RunData(set, set, all.batches(),
                validation ? Batches.inOrder(set, t.microBatch(), t.seqLen(), true, 0) : List.of(), Map.of(), List.of(),
                all.steps(), null);
    }

    /// Keeps what a loop tells and saves.
    private static final class Watcher implements TrainListener, TrainLoop.Saver {
        final int every;
        final List<Step> steps = new ArrayList<>();
        final List<Long> evaluated = new ArrayList<>();
        final List<Long> saved = new ArrayList<>();
        final List<Long> best = new ArrayList<>();
        final List<@Nullable Throwable> ends = new ArrayList<>();
        @Nullable
        Checkpoint last;

        Watcher(int every) {
            this.every = every;
        }

        @Override
        public int every() {
            return every;
        }

        @Override
        public Path save(Checkpoint c) {
            last = c;
            return Path.of("checkpoint-" + c.step());
        }

        @Override
        public void onStep(Step s) {
            steps.add(s);
        }

        @Override
        public void onEvaluation(Evaluation e) {
            evaluated.add(e.t());
        }

        @Override
        public void onCheckpoint(long t, Path where, boolean better) {
            saved.add(t);
            if (better)
                best.add(t);
        }

        @Override
        public void onEnd(long t, @Nullable Throwable failure) {
            ends.add(failure);
        }
    }

    private static TrainLoop<Batch> loop(FakeTrainable trained, RunConfig.Train t, boolean validation,
            Watcher watcher) {
        return TrainLoop.of(trained, data(t, validation), t).saving(watcher).listening(List.of(watcher));
    }

    @Test
    void theLearningRateIsTheSchedulesUnlessAnotherIsGiven() {
        RunConfig.Train t = train();
        Watcher w = new Watcher(0);
        loop(new FakeTrainable(), t, false, w).run();
        assertThat(w.steps).hasSize(STEPS).allSatisfy(
                s -> assertThat(s.lr()).isEqualTo(LrSchedule.of(t, STEPS).at(s.t())));
        Watcher other = new Watcher(0);
        loop(new FakeTrainable(), t, false, other).learningRate(step -> 0.1 * step).run();
        assertThat(other.steps).allSatisfy(s -> assertThat(s.lr()).isEqualTo(0.1 * s.t()));
    }

    @Test
    void aStepIsTheMeanOverTheTokensOfAllItsMicroBatches() {
        List<List<TrainListener.Step>> seen = new ArrayList<>();
        for (String[] set : new String[][] {{"micro_batch=8", "accumulate=1"}, {"micro_batch=1", "accumulate=8"}}) {
            FakeTrainable drawless = new FakeTrainable() {
                @Override
                public double microBatch(Batch b, float scale) {
                    restore(state(), 0);
                    return super.microBatch(b, scale);
                }
            };
            Watcher w = new Watcher(0);
            loop(drawless, train(set), false, w).run();
            seen.add(w.steps);
        }
        for (int i = 0; i < STEPS; i++) {
            TrainListener.Step a = seen.getFirst().get(i);
            TrainListener.Step b = seen.getLast().get(i);
            assertThat(a.trained()).isEqualTo(b.trained()).isPositive();
            assertThat(Math.abs(a.loss() - b.loss()) <= 1e-5).as("step " + a.t()).isTrue();
        }
    }

    @Test
    void evaluatesEverySoManyStepsAndAtTheEndIfThereIsSomethingToEvaluateOn() {
        Watcher w = new Watcher(0);
        TrainLoop.Result r = loop(new FakeTrainable(), train(), true, w).evaluating(6, 0).run();
        assertThat(w.evaluated).containsExactly(6L, 12L, 18L, 20L);
        assertThat(r.bestLoss()).isNotNull();
        Watcher atTheEnd = new Watcher(0);
        loop(new FakeTrainable(), train(), true, atTheEnd).run();
        assertThat(atTheEnd.evaluated).containsExactly(20L);
        Watcher without = new Watcher(0);
        assertThat(loop(new FakeTrainable(), train(), false, without).evaluating(6, 0).run().bestLoss()).isNull();
        assertThat(without.evaluated).isEmpty();
    }

    @Test
    void savesWhenItIsTimeWhenTheLossIsBetterAndAtTheEnd() {
        Watcher w = new Watcher(7);
        loop(new FakeTrainable(), train(), false, w).run();
        assertThat(w.saved).containsExactly(7L, 14L, 20L);
        Watcher falling = new Watcher(0);
        loop(validationLosses(3, 2, 4, 1, 5), train(), true, falling).evaluating(4, 0).run();
        assertThat(falling.evaluated).containsExactly(4L, 8L, 12L, 16L, 20L);
        assertThat(falling.best).containsExactly(4L, 8L, 16L);
        assertThat(falling.saved).containsExactly(4L, 8L, 16L, 20L);
        assertThat(falling.last).isNotNull()
                .satisfies(c -> assertThat(List.of(c.step(), c.bestStep())).containsExactly(20L, 16L));
    }

    /// One loss an evaluation, however many micro-batches it takes.
    private static FakeTrainable validationLosses(double... losses) {
        return new FakeTrainable() {
            private int updates;

            @Override
            public double update(AdamWStep s) {
                updates++;
                return super.update(s);
            }

            @Override
            public double evaluate(Batch b) {
                long tokens = 0;
                for (int l : b.labels())
                    tokens += l >= 0 ? 1 : 0;
                return tokens * losses[Math.min(updates / 4, losses.length) - 1];
            }
        };
    }

    @Test
    void endsWhenTheLossHasNotFallenForAsManyEvaluationsAsItIsPatient() {
        Watcher w = new Watcher(0);
        TrainLoop.Result r =
                loop(validationLosses(3, 2, 4, 5, 1), train(), true, w).evaluating(4, 2).run();
        assertThat(r.step()).isEqualTo(16);
        assertThat(r.early()).isTrue();
        assertThat(r.finished()).isTrue();
        assertThat(r.bestStep()).isEqualTo(8);
        assertThat(r.bestLoss()).isEqualTo(2.0);
        assertThat(w.saved.getLast()).isEqualTo(16);
    }

    @Test
    void nanEndsTheLoopNamesTheStepAndIsNotSaved() {
        FakeTrainable breaks = new FakeTrainable() {
            private int calls;

            @Override
            public double microBatch(Batch b, float scale) {
                return ++calls == 22 ? Double.NaN : super.microBatch(b, scale);
            }

            @Override
            public String culprit(Batch b, float scale) {
                return "swiglu";
            }
        };
        Watcher w = new Watcher(5);
        assertThatThrownBy(loop(breaks, train(), false, w)::run).isInstanceOf(NumericException.class)
                .hasMessageStartingWith("step 11: the loss is NaN in micro-batch 2 of 2 (")
                .hasMessageContaining("comes from swiglu").hasMessageContaining("lower train.lr (now 0.05)");
        assertThat(w.saved).containsExactly(5L, 10L);
        assertThat(w.ends).singleElement().isInstanceOf(NumericException.class);
    }

    @Test
    void anInfiniteGradientNormEndsTheLoopToo() {
        FakeTrainable breaks = new FakeTrainable() {
            @Override
            public double update(AdamWStep s) {
                return s.t() == 2 ? Double.POSITIVE_INFINITY : super.update(s);
            }
        };
        assertThatThrownBy(loop(breaks, train(), false, new Watcher(1))::run).isInstanceOf(NumericException.class)
                .hasMessageStartingWith("step 2: the gradient norm is Infinity (first micro-batch: ");
    }

    @Test
    void aLossThatClimbsAwayEndsTheLoop() {
        FakeTrainable climbs = new FakeTrainable() {
            private int calls;

            @Override
            public double microBatch(Batch b, float scale) {
                super.microBatch(b, scale);
                return ++calls / scale;
            }
        };
        RunConfig.Train t = train("steps=60", "accumulate=1", "divergence=2");
        assertThatThrownBy(loop(climbs, t, false, new Watcher(0))::run).isInstanceOf(NumericException.class)
                .hasMessageContaining("the loss diverges");
    }

    @Test
    void aStopEndsAfterTheStepWithACheckpoint() {
        Watcher w = new Watcher(0);
        TrainLoop.Result r = loop(new FakeTrainable(), train(), false, w).stopping(() -> w.steps.size() == 7).run();
        assertThat(r.finished()).isFalse();
        assertThat(r.step()).isEqualTo(7);
        assertThat(w.saved).containsExactly(7L);
        assertThat(w.ends).hasSize(1).containsOnlyNulls();
    }

    @Test
    void aResumedLoopEndsBitForBitLikeTheWholeOne() {
        FakeTrainable whole = new FakeTrainable();
        Watcher all = new Watcher(0);
        loop(whole, train(), true, all).evaluating(4, 0).run();
        for (int stop : new int[] {1, 7, 19}) {
            Watcher first = new Watcher(0);
            loop(new FakeTrainable(), train(), true, first).evaluating(4, 0)
                    .stopping(() -> first.steps.size() == stop).run();
            FakeTrainable resumed = new FakeTrainable();
            Watcher second = new Watcher(0);
            Checkpoint from = first.last;
            assertThat(from).isNotNull();
            loop(resumed, train(), true, second).evaluating(4, 0).resume(from).run();
            assertThat(resumed.state().params()).containsExactly(whole.state().params());
            assertThat(resumed.state().m()).containsExactly(whole.state().m());
            assertThat(resumed.state().v()).containsExactly(whole.state().v());
            assertThat(resumed.draws()).isEqualTo(whole.draws());
            assertThat(second.steps).extracting(TrainListener.Step::loss)
                    .containsExactlyElementsOf(all.steps.subList(stop, STEPS).stream()
                            .map(TrainListener.Step::loss).toList());
        }
    }

    @Test
    void aLoopWithoutASaverTrainsAndKeepsNothing() {
        TrainLoop.Result r = TrainLoop.of(new FakeTrainable(), data(train(), false).first(3), train()).run();
        assertThat(r.step()).isEqualTo(3);
        assertThat(r.saved()).isNull();
    }

    /// Loss 1 a token for ten steps, then 0.1 more with each step: its average of 20 is 2 above the lowest in step 40.
    private static FakeTrainable climbing(int from) {
        return new FakeTrainable() {
            private int step = from;

            @Override
            public double microBatch(Batch b, float scale) {
                super.microBatch(b, scale);
                step++;
                return (1 + 0.1 * Math.max(0, step - 10)) / scale;
            }
        };
    }

    @Test
    void theWatchOverTheLossSeesThroughAStop() {
        RunConfig.Train t = train("steps=60", "accumulate=1", "divergence=1.5");
        String[] whole = new String[1];
        assertThatThrownBy(loop(climbing(0), t, false, new Watcher(0))::run).isInstanceOf(NumericException.class)
                .satisfies(e -> whole[0] = e.getMessage()).hasMessageContaining("the loss diverges");
        for (int stop : new int[] {1, 12, 19, 20, 21, 30}) {
            Watcher first = new Watcher(0);
            loop(climbing(0), t, false, first).stopping(() -> first.steps.size() == stop).run();
            Checkpoint from = first.last;
            assertThat(from).isNotNull();
            assertThatThrownBy(loop(climbing(stop), t, false, new Watcher(0)).resume(from)::run)
                    .isInstanceOf(NumericException.class).hasMessage(whole[0]);
        }
    }

    @Test
    void gradientsOfZeroForSeveralStepsEndTheRunAlsoAcrossAStop() {
        FakeTrainable dead = new FakeTrainable() {
            @Override
            public double update(AdamWStep s) {
                super.update(s);
                return s.t() >= 4 ? 0 : 1;
            }
        };
        Watcher w = new Watcher(0);
        assertThatThrownBy(loop(dead, train(), false, w)::run).isInstanceOf(NumericException.class)
                .hasMessageStartingWith("step 8: the gradients of the last 5 steps are exactly 0 at a loss of ");
        assertThat(w.saved).isEmpty();
        Watcher first = new Watcher(0);
        loop(dead, train(), false, first).stopping(() -> first.steps.size() == 6).run();
        Checkpoint from = first.last;
        assertThat(from).isNotNull();
        assertThatThrownBy(loop(dead, train(), false, new Watcher(0)).resume(from)::run)
                .isInstanceOf(NumericException.class).hasMessageStartingWith("step 8: ");
    }

    @Test
    void aRotationThatIsNoneAnyMoreEndsTheRunAndIsNotSaved() {
        FakeTrainable torn = new FakeTrainable() {
            private long t;

            @Override
            public double update(AdamWStep s) {
                t = s.t();
                return super.update(s);
            }

            @Override
            public List<Geometry> geometry() {
                return List.of(new Geometry("q", 0.2, 3, 1e-4), new Geometry("k", 2, 90, t < 15 ? 0.99 : 1.01));
            }
        };
        Watcher w = new Watcher(5);
        assertThatThrownBy(loop(torn, train(), false, w)::run).isInstanceOf(NumericException.class)
                .hasMessageStartingWith("step 15: the rotation of k is none any more: ||R'R - I|| is 1.01");
        assertThat(w.saved).containsExactly(5L, 10L);
    }

    /// What a run that is killed after a checkpoint does not do again must have been told before it.
    @Test
    void allThatIsToldOfAStepIsToldBeforeItsCheckpoint() {
        FakeTrainable turning = new FakeTrainable() {
            @Override
            public List<Geometry> geometry() {
                return List.of(new Geometry("q", 0.2, 3, 1e-4));
            }
        };
        List<String> order = new ArrayList<>();
        TrainListener l = new TrainListener() {
            @Override
            public void onRotations(Rotations r) {
                order.add("rotations " + r.t());
            }

            @Override
            public void onEvaluation(Evaluation e) {
                order.add("evaluation " + e.t());
            }

            @Override
            public void onCheckpoint(long t, Path where, boolean best) {
                order.add("checkpoint " + t);
            }
        };
        RunConfig.Train t = train();
        TrainLoop.of(turning, data(t, true), t).evaluating(20, 0).saving(new Watcher(20)).listening(List.of(l)).run();
        assertThat(order).containsExactly("rotations 1", "rotations 10", "evaluation 20", "rotations 20",
                "checkpoint 20");
    }
}
