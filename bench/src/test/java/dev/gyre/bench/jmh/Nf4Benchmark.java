package dev.gyre.bench.jmh;

import dev.gyre.kernels.op.HostData;
import dev.gyre.quant.Nf4;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/// NF4 on the host: a model quantised as it is loaded, and a weight read back whole.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class Nf4Benchmark {
    /// Elements: a 4096 x 4096 layer, and an odd one.
    @Param({"16777216", "145314"})
    public int size;

    private float[] weights = {};

    @SuppressWarnings("NullAway.Init") // prepare()
    private HostData.NF4 coded;

    /// Makes the operands and checks both ways element by element.
    @Setup
    public void prepare() {
        Random random = new Random(size);
        weights = new float[size];
        for (int i = 0; i < size; i++)
            weights[i] = (float) (0.02 * random.nextGaussian());
        coded = Nf4.quantize(weights, Nf4.DEFAULT_BLOCK);
        float[] back = Nf4.dequantize(coded);
        // half of the widest gap between codes, and what the maximum loses in rounding
        double widest = 0.16;
        for (int i = 0; i < size; i++) {
            double error = Math.abs(back[i] - weights[i]);
            if (back[i] != coded.value(i) || !(error <= widest * coded.absmax(i / Nf4.DEFAULT_BLOCK)))
                throw new AssertionError("element " + i + ": " + weights[i] + " became " + back[i] + ", code says "
                        + coded.value(i));
        }
    }

    @Benchmark
    public HostData.NF4 quantise() {
        return Nf4.quantize(weights, Nf4.DEFAULT_BLOCK);
    }

    @Benchmark
    public float[] dequantise() {
        return Nf4.dequantize(coded);
    }
}
