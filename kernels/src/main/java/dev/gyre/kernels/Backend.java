package dev.gyre.kernels;

import dev.gyre.kernels.op.ProductOps;
import java.util.List;

/// Runs [Program]s: the CPU ([dev.gyre.kernels.cpu]), a TornadoVM device
/// ([dev.gyre.kernels.tornado]), or the double-precision reference that checks them ([dev.gyre.kernels.ref]).
public interface Backend {
    /// 2^23 values, 32 MiB. They come on top of all that the layers keep, so they set the peak of a step: size M over NF4
    /// takes 33 MiB less than with twice as many, for 1.5 % more time, because the head's weight is packed once more.
    int LOGITS = 1 << 23;

    /// Short name as a user types it: `cpu`, `opencl:0`, `cuda:0`.
    String name();

    /// One line for logs and provenance: device, threads or compute units, vector width, driver.
    String describe();

    /// Prepares programs that run one after another on shared buffers: a micro-batch, the update, an evaluation.
    /// All programs share the buffers that are not ACTIVATION. PARAM, GRAD and STATE start as zeros.
    ///
    /// @throws DeviceException when a device is too small, with the planned and the available bytes in its message
    Session open(List<Program> programs);

    /// Logits that programs for this backend should hold at once, unless asked for all: the output head runs in chunks of
    /// rows, and each chunk reads its whole weight.
    default int logits() {
        return LOGITS;
    }

    /// Precision of large matrix products.
    default Precision precision() {
        return Precision.F32;
    }

    /// Precision of this product: F32 if it is not large.
    default Precision precision(ProductOps.MatMul product) {
        return precision();
    }

    /// Precision of activations between operations that allow BF16: those that products read and write.
    default Precision activationPrecision() {
        return Precision.F32;
    }

    /// Precision of the factors of attention over whole sequences, BF16 on tensor cores.
    ///
    /// @param D numbers per head
    default Precision attentionPrecision(int D) {
        return Precision.F32;
    }
}
