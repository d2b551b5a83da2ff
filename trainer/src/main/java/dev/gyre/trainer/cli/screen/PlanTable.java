package dev.gyre.trainer.cli.screen;

import dev.gyre.model.adapter.Method;
import dev.gyre.model.adapter.Tuning;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.plan.RunPlan;
import dev.gyre.trainer.serve.ServeMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// Memory and trainable parameters as text.
public final class PlanTable {
    private PlanTable() {
    }

    /// Every method at its defaults.
    public static List<Tuning> methods() {
        List<Tuning> out = new ArrayList<>();
        for (Class<?> options : new Tuning.Registered().all())
            out.add(ConfigReader.parse("defaults",
                    "{model: {path: m}, adapter: {method: " + Method.described(options).value()
                            + "}, data: {train: t}, output: {dir: d}}",
                    RunConfig.class, List.of()).adapter());
        return out;
    }

    public static String word(Enum<?> e) {
        return e.name().toLowerCase(Locale.ROOT);
    }

    /// The parts of one estimate, a line each.
    ///
    /// @param device that it is about
    public static List<String> parts(MemoryEstimate m, String device) {
        List<String> out = new ArrayList<>(
                List.of(part("weights", m.weights(), "frozen, as they are stored, with tables and factors"),
                        part("adapter", m.adapter(), "trainable parameters and their gradients"),
                        part("optimiser", m.optimiser(), "AdamW's two moments"),
                        part("activations", m.activations(), "one arena, exact"),
                        part("workspace", m.workspace(), "packing buffers of the kernels, estimated"),
                        part("host", m.host(), "copies for files, checkpoints and rotation metrics")));
        if (m.decoder() > 0)
            out.add(part("decoder", m.decoder(), "answers while training (eval.samples): caches and arena"));
        out.addAll(List.of(part("data", m.data(), "tokens of the examples"),
                part("runtime", m.runtime(), "the JVM: code, classes, young generation, measured"),
                part("process", m.total(), "peak of the process on the CPU"),
                part("device", m.device(), "what a run on " + device + " takes there, exact"),
                part("beside it", m.besideDevice(false), "the process of such a run, apart from the device's driver"),
                part("with check", m.besideDevice(true),
                        "the same while check_device compares the first step with the CPU")));
        return out;
    }

    /// The parts of what a server takes, a line each.
    public static List<String> serving(ServeMemory m) {
        return List.of(part("weights", m.weights(), "of the base, once for all adapters, with tables"),
                part("adapters", m.adapters(), "their tensors, as read and as computed with"),
                part("cache", m.cache(), "keys and values of all slots"),
                part("working", m.working(), "one arena, logits, scores"),
                part("requests", m.requests(), "bodies, texts and tokens, at most"),
                part("runtime", m.runtime(), "the JVM: code, classes, young generation, measured"),
                part("process", m.total(), "at most, whatever is asked"));
    }

    private static String part(String name, long bytes, String what) {
        return Text.format("  %-12s %10s   %s", name, Text.bytes(bytes), what);
    }

    public static String heading() {
        return Text.format("  %-10s %-11s %10s %8s %10s %10s %10s %11s %10s %10s", "method", "base", "trained", "share",
                "weights", "adapter", "optimiser", "activations", "process", "device");
    }

    public static String row(RunPlan.Row r) {
        MemoryEstimate m = r.memory();
        if (m == null)
            return Text.format("  %-10s %-11s not possible: %s", r.method(), word(r.base()), r.impossible());
        return Text.format("  %-10s %-11s %10s %8s %10s %10s %10s %11s %10s %10s", r.method(), word(r.base()),
                Text.big(r.trained()), Text.format("%.2f %%", 100.0 * r.trained() / r.parameters()),
                Text.bytes(m.weights()), Text.bytes(m.adapter()), Text.bytes(m.optimiser()),
                Text.bytes(m.activations()), Text.bytes(m.total()), Text.bytes(m.device()));
    }
}
