package dev.gyre.dist;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Workers that are threads: sums with the bits of the stated order, gathers, broadcasts, and an end for all.
@Timeout(60)
class ThreadsTest {
    private interface Work<T> {
        T on(Collective c);
    }

    private static <T> List<T> all(int size, Work<T> work) throws InterruptedException {
        List<Future<T>> futures = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(size)) {
            for (Collective c : Threads.of(size))
                futures.add(pool.submit(() -> {
                    try (c) {
                        return work.on(c);
                    } catch (RuntimeException e) {
                        c.abort(String.valueOf(e.getMessage()), 1);
                        throw e;
                    }
                }));
            List<T> out = new ArrayList<>();
            RuntimeException failure = null;
            for (Future<T> f : futures)
                try {
                    out.add(f.get());
                } catch (ExecutionException e) {
                    failure = (RuntimeException) Objects.requireNonNull(e.getCause());
                }
            if (failure != null)
                throw failure;
            return out;
        }
    }

    private static float[] values(int rank, int n) {
        Random r = new Random(rank);
        float[] v = new float[n];
        for (int i = 0; i < n; i++)
            v[i] = (float) (r.nextGaussian() * Math.exp(4 * r.nextGaussian()));
        return v;
    }

    /// The order that [Collective] states.
    private static float[] tree(int low, int high, int n) {
        if (high - low == 1)
            return values(low, n);
        int middle = (low + high) >>> 1;
        float[] a = tree(low, middle, n);
        float[] b = tree(middle, high, n);
        for (int i = 0; i < n; i++)
            a[i] += b[i];
        return a;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 7, 8})
    void sumsHaveTheBitsOfTheTree(int size) throws InterruptedException {
        for (int n : new int[] {0, 1, 2, 7, 16, 1001}) {
            float[] expected = tree(0, size, n);
            for (float[] got : all(size, c -> {
                float[] v = values(c.rank(), n);
                c.sum(v);
                return v;
            }))
                assertThat(got).as("%d workers, %d values", size, n).containsExactly(expected);
        }
    }

    /// A sum in the workers' order would have other bits: the test above would see it.
    @Test
    void theOrderShows() {
        float[] tree = tree(0, 4, 1001);
        float[] line = values(0, 1001);
        for (int r = 1; r < 4; r++)
            for (int i = 0; i < 1001; i++)
                line[i] += values(r, 1001)[i];
        assertThat(Arrays.equals(tree, line)).isFalse();
    }

    @Test
    void repeatedSumsOfOtherLengths() throws InterruptedException {
        List<float[]> got = all(4, c -> {
            float[] last = {};
            for (int n : new int[] {1001, 3, 2000}) {
                last = values(c.rank(), n);
                c.sum(last);
            }
            return last;
        });
        for (float[] g : got)
            assertThat(g).containsExactly(tree(0, 4, 2000));
    }

    @Test
    void gathersByRank() throws InterruptedException {
        for (double[][] got : all(3, c -> c.gather(c.rank(), -c.rank())))
            assertThat(got).isDeepEqualTo(new double[][] {{0, 0}, {1, -1}, {2, -2}});
    }

    @Test
    void anySaysWhatOneSays() throws InterruptedException {
        assertThat(all(3, c -> c.any(c.rank() == 1))).containsOnly(true);
        assertThat(all(3, c -> c.any(false))).containsOnly(false);
    }

    @Test
    void broadcastsWhatTheFirstHas() throws InterruptedException {
        for (float[] got : all(3, c -> {
            float[] v = {c.rank(), 10 + c.rank()};
            c.broadcast(v);
            return v;
        }))
            assertThat(got).containsExactly(0, 10);
        assertThat(all(3, c -> new String(c.broadcast(("worker " + c.rank()).getBytes(StandardCharsets.UTF_8)),
                StandardCharsets.UTF_8))).containsOnly("worker 0");
    }

    @Test
    void oneThatEndsEndsAll() throws InterruptedException {
        List<String> seen = all(3, c -> {
            if (c.rank() == 1) {
                c.abort("its disk is full", 1);
                return "";
            }
            try {
                c.sum(new float[10]);
                return "summed";
            } catch (WorkerException e) {
                return String.valueOf(e.getMessage());
            }
        });
        assertThat(seen).containsExactly("worker 1 ended: its disk is full", "", "worker 1 ended: its disk is full");
    }

    @Test
    void aloneChangesNothing() {
        float[] v = {1, 2};
        Alone.INSTANCE.sum(v);
        assertThat(v).containsExactly(1, 2);
        assertThat(Alone.INSTANCE.gather(3)).isDeepEqualTo(new double[][] {{3}});
        assertThat(Alone.INSTANCE.any(true)).isTrue();
    }
}
