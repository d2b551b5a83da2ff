package dev.gyre.trainer.record;

import dev.gyre.model.adapter.Geometry;
import dev.gyre.trainer.loop.TrainListener;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// What happens in a run as JSON objects, one a line: the lines of `metrics.jsonl` and of `--json`
/// (docs/run-directory.md).
public final class MetricsLines implements TrainListener {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    /// Steps between two that tell the memory of the process: asking the system takes time.
    private static final int MEMORY_EVERY = 10;

    private final Consumer<String> out;
    private final LongSupplier memory;

    public MetricsLines(Consumer<String> out) {
        this(out, () -> 0);
    }

    /// @param memory resident bytes of this process; 0 where they are not known
    public MetricsLines(Consumer<String> out, LongSupplier memory) {
        this.out = out;
        this.memory = memory;
    }

    @Override
    public void onStep(Step s) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("step", s.t());
        o.put("epoch", s.epoch());
        o.put("loss", s.loss());
        o.put("grad_norm", s.gradNorm());
        o.put("lr", s.lr());
        o.put("trained_tokens", s.trained());
        o.put("tokens", s.tokens());
        o.put("seconds", s.seconds());
        long process = s.t() % MEMORY_EVERY == 1 ? memory.getAsLong() : 0;
        if (process > 0)
            o.put("process", process);
        write(o);
    }

    @Override
    public void onEvaluation(Evaluation e) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("step", e.t());
        o.put("valid_loss", e.loss());
        o.put("valid_tokens", e.trained());
        o.put("seconds", e.seconds());
        if (!e.also().isEmpty()) {
            ObjectNode also = o.putObject("also_valid");
            e.also().forEach(also::put);
        }
        if (!e.scores().isEmpty()) {
            ObjectNode scores = o.putObject("scores");
            e.scores().forEach(scores::put);
        }
        write(o);
    }

    @Override
    public void onSamples(Samples s) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("step", s.t());
        o.put("right", s.right());
        o.put("seconds", s.seconds());
        ArrayNode all = o.putArray("samples");
        for (Sample x : s.all())
            all.addObject().put("prompt", x.prompt()).put("expected", x.expected()).put("answer", x.answer());
        write(o);
    }

    @Override
    public void onRotations(Rotations r) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("step", r.t());
        o.put("skew_norm", r.worst().skewNorm());
        o.put("skew_norm_module", r.worst().module());
        o.put("angle", r.angle());
        o.put("orthogonality_defect", r.defect());
        ObjectNode modules = o.putObject("modules");
        for (Geometry g : r.modules())
            modules.putArray(g.module()).add(g.skewNorm()).add(g.angle()).add(g.defect());
        write(o);
    }

    private void write(ObjectNode o) {
        out.accept(JSON.writeValueAsString(o));
    }
}
