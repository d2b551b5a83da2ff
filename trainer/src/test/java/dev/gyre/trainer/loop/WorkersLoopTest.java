package dev.gyre.trainer.loop;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.dist.Collective;
import dev.gyre.dist.Threads;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What one worker meets, all do, in the same step: a loss that is not finite, a request to stop, parameters that drift.
@Timeout(60)
class WorkersLoopTest {
    private static final RunConfig.Train TRAIN = ConfigReader.parse("train",
            "{steps: 8, seq_len: 12, micro_batch: 2, accumulate: 4, lr: 0.05, warmup: 3}", RunConfig.Train.class,
            List.of());

    private static RunData data() {
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < 40; i++)
            examples.add(new Example.Text("abcdefghij".substring(i % 5, 5 + i % 4)));
        TokenizedSet set = TokenizedSet.of(examples, new TokenizedSet.Rules(RunConfig.Format.AUTO,
                RunConfig.TrainOn.ALL, RunConfig.TooLong.TRUNCATE, TRAIN.seqLen()), ModelText.bytes());
        RunData all = RunData.of(set, TRAIN, 1);
        return new RunData(set, set, all.batches(), Batches.inOrder(set, 2, 12, true, 0), Map.of(), List.of(),
                all.steps(), null);
    }

    private interface Loop {
        TrainLoop<Batch> on(FakeTrainable t, Collective c);
    }

    /// Results, or messages of failures, by rank.
    private static List<Object> run(int workers, IntFunction<FakeTrainable> trained, Loop loop)
            throws InterruptedException {
        List<Future<TrainLoop.Result>> futures = new ArrayList<>();
        List<Object> out = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(workers)) {
            for (Collective c : Threads.of(workers))
                futures.add(pool.submit(() -> loop.on(trained.apply(c.rank()), c).with(c).run()));
            for (Future<TrainLoop.Result> f : futures)
                try {
                    out.add(f.get());
                } catch (ExecutionException e) {
                    out.add(String.valueOf(Objects.requireNonNull(e.getCause()).getMessage()));
                }
        }
        return out;
    }

    private static Loop plain() {
        return (t, _) -> TrainLoop.of(t, data(), TRAIN).evaluating(4, 0).saving(4);
    }

    @Test
    void stateAndLossesAreThoseOfOneWorker() throws InterruptedException {
        FakeTrainable alone = new FakeTrainable();
        Object one = run(1, _ -> alone, plain()).getFirst();
        for (int n : new int[] {2, 4}) {
            List<FakeTrainable> all = new ArrayList<>();
            for (int i = 0; i < n; i++)
                all.add(new FakeTrainable());
            for (Object r : run(n, all::get, plain()))
                assertThat(r).isEqualTo(one);
            for (FakeTrainable t : all) {
                assertThat(t.state().params()).containsExactly(alone.state().params());
                assertThat(t.state().v()).containsExactly(alone.state().v());
                assertThat(t.draws()).isEqualTo(alone.draws());
            }
        }
    }

    @Test
    void aLossThatIsNotFiniteStopsAllInTheSameStep() throws InterruptedException {
        IntFunction<FakeTrainable> sick = rank -> new FakeTrainable() {
            private int calls;

            @Override
            public double microBatch(Batch b, float scale) {
                double loss = super.microBatch(b, scale);
                return rank == 1 && ++calls == 4 ? Double.NaN : loss;
            }
        };
        List<Object> seen = run(2, sick, plain());
        assertThat(seen.get(0)).asString().startsWith("step 2: the loss is NaN in micro-batch 4 of 4 (");
        assertThat(seen.get(1)).isEqualTo(seen.get(0));
    }

    @Test
    void aRequestToStopOnOneWorkerStopsAllAfterTheSameStep() throws InterruptedException {
        List<Object> seen = run(4, _ -> new FakeTrainable(), (t, c) -> {
            int[] asked = {0};
            return TrainLoop.of(t, data(), TRAIN).stopping(() -> c.rank() == 2 && ++asked[0] == 4);
        });
        for (Object r : seen)
            assertThat(((TrainLoop.Result) r).step()).isEqualTo(3);
    }

    @Test
    void parametersThatDriftApartStopTheRun() throws InterruptedException {
        List<Object> seen = run(2, rank -> new FakeTrainable() {
            @Override
            public double update(dev.gyre.model.transformer.AdamWStep s) {
                double norm = super.update(s);
                if (rank == 1 && s.t() == 3) {
                    var state = state();
                    state.params()[7] = Math.nextUp(state.params()[7]);
                    restore(state, draws());
                }
                return norm;
            }
        }, plain());
        assertThat(seen.get(0)).asString()
                .startsWith("step 4: the parameters of worker 1 are not those of worker 0;");
        assertThat(seen.get(1)).isEqualTo(seen.get(0));
    }
}
