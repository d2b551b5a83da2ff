package dev.gyre.trainer.plan;

import dev.gyre.kernels.GyreException;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.PlannedDevice;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/// What a run will need, from its configuration, `config.json` and the headers of the weight files; no weight is read.
public final class RunPlan {
    private final RunConfig config;
    private final ModelDir files;
    private final int threads;
    private final PlannedDevice device;

    private final int workers;

    private RunPlan(RunConfig config, ModelDir files, int threads, int workers) {
        this.config = config;
        this.files = files;
        this.threads = threads;
        this.workers = workers;
        this.device = PlannedDevice.of(config.device(), config.precision(), () -> RunDevice.narrow(config, files));
    }

    /// @param threads of the CPU backend; for one worker
    public static <T> T with(RunConfig config, int threads, java.util.function.Function<RunPlan, T> use) {
        return with(config, threads, 1, use);
    }

    /// @param threads of the CPU backend
    /// @param workers that share a step's micro-batches; all is about one of them
    public static <T> T with(RunConfig config, int threads, int workers,
            java.util.function.Function<RunPlan, T> use) {
        try (ModelDir files = ModelDir.open(config.model().directory())) {
            return use.apply(new RunPlan(config, files, threads, workers));
        }
    }

    /// Bytes that each worker sends in a step for so many trainable parameters.
    public long exchanged(long trained) {
        return workers == 1 ? 0 : 2 * 4 * trained * (workers - 1) / workers;
    }

    /// What the run's data take and ask for: reads them.
    public static RunData.Load load(RunConfig c) {
        Path model = c.model().directory();
        try (ModelText text = ModelText.load(c); ModelDir files = ModelDir.open(model)) {
            return RunData.read(c, text)
                    .load(files.config().maxPositionEmbeddings(), text);
        }
    }

    /// A method over a base, and what it takes.
    ///
    /// @param method as written in `adapter.method`
    /// @param trained parameters
    /// @param impossible why this combination cannot run, null when it can
    /// @param notes what is done otherwise than the configuration says
    public record Row(String method, Storage base, long parameters, long trained, int modules,
            @Nullable MemoryEstimate memory, @Nullable String impossible, List<String> notes) {
    }

    public Row own(RunData.Load load) {
        return row(config.adapter(), config.model().base(), shape(), load);
    }

    public BatchShape shape() {
        return new BatchShape(config.train().microBatch(), config.train().seqLen());
    }

    /// With the run's shorter rows.
    private List<BatchShape> shapes(BatchShape s) {
        List<BatchShape> out = new ArrayList<>(List.of(s));
        for (int b : config.train().buckets())
            if (b < s.T())
                out.add(new BatchShape(s.B(), b));
        return out;
    }

    /// The run as it is configured, with other methods at their defaults and over other bases.
    ///
    /// @param others one configuration of each method
    public List<Row> sideBySide(List<Tuning> others, RunData.Load load) {
        List<Row> out = new ArrayList<>();
        for (Tuning a : others)
            for (Storage base : Storage.values()) {
                if (base == Storage.AS_STORED || a instanceof Full && base != Storage.F32)
                    continue;
                out.add(row(a.getClass() == config.adapter().getClass() ? config.adapter() : a, base, shape(), load));
            }
        return out;
    }

    /// Other methods over the configured base.
    public List<Row> methods(List<Tuning> others, RunData.Load load) {
        List<Row> out = new ArrayList<>();
        for (Tuning a : others)
            if (a.getClass() != config.adapter().getClass())
                out.add(row(a, config.model().base(), shape(), load));
        return out;
    }

    /// The device that [MemoryEstimate#device] is about.
    public String device() {
        return device.name();
    }

    /// The longest sequence that the model declares.
    public int context() {
        return files.config().maxPositionEmbeddings();
    }

    /// Micro-batches of a step that one worker computes.
    private int share() {
        return Math.ceilDiv(config.train().accumulate(), workers);
    }

    private Row row(Tuning adapter, Storage base, BatchShape shape, RunData.Load load) {
        Storage held = base;
        String method = adapter.method();
        PlannedModel sketch = PlannedModel.of(files, held);
        long all = sketch.parameters();
        try {
            return switch (adapter) {
                case AdapterOptions options -> {
                    Adapter a = sketch.adapter(options);
                    yield new Row(method, base, all, a.parameters(), a.modules().size(),
                            MemoryEstimate.of(sketch, a, shapes(shape), config.train().uses(),
                                    share(), load,
                                    threads, device),
                            null, a.remarks());
                }
                case Full _ -> {
                    if (files.config().linears().stream().anyMatch(l -> files.isQuantized(l.path() + ".weight")))
                        throw new InputException("weights stored in 4 bits cannot be trained whole");
                    yield new Row(method, base, all, all, 0,
                            MemoryEstimate.of(PlannedModel.of(files, Storage.AS_STORED), null, shapes(shape),
                                    config.train().uses(),
                                    share(), load, threads, device),
                            null, List.of());
                }
            };
        } catch (GyreException | ArithmeticException e) {
            return new Row(method, base, all, 0, 0, null, String.valueOf(e.getMessage()), List.of());
        }
    }

    /// The largest `micro_batch` at the configured `seq_len` whose memory stays within a limit; 0 when none does.
    ///
    /// @param measure which of an estimate's figures the limit is for
    public int largestBatch(long limit, Measure measure, RunData.Load load) {
        return largest(65536, n -> fits(new BatchShape(n, config.train().seqLen()), limit, measure, load));
    }

    /// The largest `seq_len` at the configured `micro_batch`, at most the model's context.
    public int largestSequence(long limit, Measure measure, RunData.Load load) {
        return largest(files.config().maxPositionEmbeddings(),
                n -> fits(new BatchShape(config.train().microBatch(), n), limit, measure, load));
    }

    /// Picks what a limit is about.
    public interface Measure {
        long bytes(MemoryEstimate e);
    }

    /// The largest number up to `most` that fits, 0 if none does. Memory grows with the shape: doubling, then halving the
    /// interval finds the border. What is too large for an array does not fit.
    public static int largest(int most, IntPredicate fits) {
        return border(most, n -> {
            try {
                return fits.test(n);
            } catch (ArithmeticException e) {
                return false;
            }
        });
    }

    private static int border(int most, IntPredicate fits) {
        int largest = 0;
        int tooMany = 1;
        while (tooMany <= most && fits.test(tooMany)) {
            largest = tooMany;
            tooMany *= 2;
        }
        tooMany = Math.min(tooMany, most + 1);
        while (tooMany - largest > 1) {
            int middle = (largest + tooMany) / 2;
            if (fits.test(middle))
                largest = middle;
            else
                tooMany = middle;
        }
        return largest;
    }

    private boolean fits(BatchShape shape, long limit, Measure measure, RunData.Load load) {
        MemoryEstimate m = row(config.adapter(), config.model().base(), shape, load).memory();
        return m != null && measure.bytes(m) <= limit;
    }
}
