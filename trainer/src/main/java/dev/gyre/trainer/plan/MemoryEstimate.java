package dev.gyre.trainer.plan;

import dev.gyre.kernels.devices.PlannedDevice;
import dev.gyre.kernels.op.Buf.Role;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.transformer.BatchShape;
import dev.gyre.model.transformer.PlannedModel;
import dev.gyre.model.transformer.StepPlan;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.measure.HeapTrim;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Peak memory of a run, by part, in bytes. What the programs need is exact, from the same plan that a session opens; what
/// comes on top follows from the copies that a run keeps; the JVM's own share is measured (docs/memory.md).
///
/// @param weights frozen weights as they are stored, tables and principal factors with them
/// @param adapter trainable parameters and their gradients
/// @param optimiser AdamW's moments
/// @param activations arena, inputs and outputs of the programs
/// @param workspace what kernels pack and unpack into
/// @param host copies on the host: trainable parameters for files and for rotation metrics, a checkpoint being written
/// @param decoder what answers the tasks of `eval.samples` while training: caches, arena, a copy of the adapter's parameters
/// @param data examples as tokens, validation batches
/// @param runtime the JVM: code, classes, threads, and the young generation
/// @param device what sessions take on a device, exact: weights, activations, workspaces of its kernels; the session that
///     answers while training has weights of its own there
/// @param inFiles of the weights, those that a run on a device copies there from their files and does not hold
public record MemoryEstimate(long weights, long adapter, long optimiser, long activations, long workspace, long host,
        long decoder, long data, long runtime, long device, long inFiles) {
    /// JVM without its heap: 25 classes' metadata, compiled code, compiler threads at work. Measured, see docs/memory.md.
    static final long JVM = 128_000_000;
    /// Packing buffers of matrix products and attention: bounded by block sizes that fit caches, not by the model.
    static final long WORKSPACE_PER_THREAD = 3_000_000;
    /// Bytes of each trainable parameter on the host: in the tensors and a buffer to read them into; value and moments of a checkpoint.
    private static final long HOST_PER_NUMBER = 4 * (2 + 3);

    /// @param shapes of the micro-batches
    /// @param accumulate micro-batches of a step that this process computes
    /// @param device whose memory is estimated in addition to that of the process on the CPU
    public static MemoryEstimate of(PlannedModel model, @Nullable Adapter adapter, List<BatchShape> shapes,
            Set<TrainSession.Use> uses, int accumulate, RunData.Load load, int threads, PlannedDevice device) {
        StepPlan plan = model.plan(adapter, shapes, uses, accumulate);
        boolean full = adapter == null;
        Map<Role, Long> by = plan.memory().bytesByRole();
        long there = device.size().bytes(model.plan(adapter, shapes, uses, accumulate, device.logits()).programs(),
                model.doubled());
        if (load.room() > 0)
            there += device.size().bytes(model.decoder(adapter, load.room()), model.doubled());
        long frozen = full ? model.bytes() : get(by, Role.WEIGHT) - model.plannedBytes() + model.bytes();
        return new MemoryEstimate(frozen, get(by, Role.PARAM) + get(by, Role.GRAD), get(by, Role.STATE),
                get(by, Role.ACTIVATION) + get(by, Role.INPUT) + get(by, Role.OUTPUT),
                threads * WORKSPACE_PER_THREAD,
                HOST_PER_NUMBER * plan.trainable(), load.room() == 0 ? 0 : model.decoderBytes(adapter, load.room()),
                load.bytes(), HeapTrim.YOUNG + JVM, there, full ? 0 : model.bytesInFiles());
    }

    /// What comes on top of the programs' own memory.
    public static long beside(long trainable, long data, int threads) {
        return HOST_PER_NUMBER * trainable + data + threads * WORKSPACE_PER_THREAD + HeapTrim.YOUNG + JVM;
    }

    private static long get(Map<Role, Long> by, Role role) {
        return by.getOrDefault(role, 0L);
    }

    /// Of the process when a device computes, without what the device's driver takes: weights that do not stay in their files,
    /// copies on the host, and the small arrays through which the device is read and written (at most 16 MB each).
    ///
    /// @param checked whether the CPU computes the first step as well: that takes what a run on the CPU takes
    public long besideDevice(boolean checked) {
        long doors = Math.min(4L * (16 << 20), 2 * device);
        return weights + host + data + runtime + doors
                + (checked ? adapter + optimiser + activations + workspace : -inFiles);
    }

    /// Of the whole process on the host.
    public long total() {
        return weights + adapter + optimiser + activations + workspace + host + decoder + data + runtime;
    }
}
