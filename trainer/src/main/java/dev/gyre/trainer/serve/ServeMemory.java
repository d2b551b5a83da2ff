package dev.gyre.trainer.serve;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.transformer.PlannedModel;
import java.util.List;
import java.util.Map;

/// Peak memory of a server, by part, in bytes: known before it starts, and not exceeded whatever is asked.
///
/// @param weights of the base, as they are stored, once for all adapters, and tables of positions
/// @param adapters their tensors, as read and as the programs hold them, and what is computed of them once
/// @param cache keys and values of all slots
/// @param working arena, inputs and logits of the programs
/// @param requests bodies that are being read, texts and tokens of answers, and what finished ones leave behind
/// @param runtime the JVM and the kernels' workspace
public record ServeMemory(long weights, long adapters, long cache, long working, long requests, long runtime) {
    private static final long ANSWER = 64 << 10;
    /// What finished requests may leave on the heap before it is collected.
    public static final long LEFT = 32L << 20;

    /// @param models each with the adapters on it, none for the base
    /// @param threads of the CPU backend
    /// @param runtime what the JVM takes
    public static ServeMemory of(PlannedModel model, List<List<Adapter>> models, int slots, int context, int queue,
            int threads, long runtime) {
        MemoryPlan plan = MemoryPlan.of(model.server(models, slots, context));
        Map<Role, Long> by = plan.bytesByRole();
        long cache = 2L * 4 * model.config().shape().layers() * slots * context * model.config().attention().kvWidth();
        // what adapters compute once, such as rotations, is kept beside the cache
        long computed = by.getOrDefault(Role.STATE, 0L) - cache;
        long params = by.getOrDefault(Role.PARAM, 0L);
        long weights = by.getOrDefault(Role.WEIGHT, 0L) - model.plannedBytes() + model.bytes();
        long scores = 4L * threads * context * model.config().attention().heads()
                / model.config().attention().kvHeads();
        // the rows that the engine samples from, and what a sampler makes of one
        long logits = 4L * slots * model.config().vocabSize() + 16L * model.config().vocabSize();
        return new ServeMemory(weights, 2 * params + computed, cache,
                plan.bytes() - cache - computed - params - by.getOrDefault(Role.WEIGHT, 0L) + logits
                        + scores,
                ServeOptions.BODIES + (slots + queue) * (ServeOptions.SMALL + ANSWER) + LEFT, runtime);
    }

    public long total() {
        return weights + adapters + cache + working + requests + runtime;
    }

    /// What is on the Java heap.
    public long heap() {
        return total() - runtime;
    }

    /// @param limit of the Java heap
    /// @throws InputException if it does not fit
    public void require(long limit, int slots, int context) {
        if (heap() > limit)
            throw new InputException("serving takes " + MemoryPlan.mib(heap()) + " of the Java heap ("
                    + MemoryPlan.mib(weights) + " weights, " + MemoryPlan.mib(adapters) + " adapters, "
                    + MemoryPlan.mib(cache) + " cache of " + slots + " slots of " + context + " tokens, "
                    + MemoryPlan.mib(working + requests) + " to work with), and it has " + MemoryPlan.mib(limit)
                    + "; take fewer --slots, a smaller --context, or give the JVM more (GYRE_JAVA_OPTS=-Xmx8g)");
    }
}
