package dev.gyre.trainer.plan;

import dev.gyre.kernels.devices.Devices;
import dev.gyre.kernels.op.DType;
import dev.gyre.model.adapter.Full;
import dev.gyre.model.format.ModelDir;
import dev.gyre.trainer.config.RunConfig;

/// The device that a run computes on.
public final class RunDevice {
    private RunDevice() {
    }

    /// Opens it; unless the run states a precision, large products are in BF16 on `cuda:N` if its base is in BF16 or NF4.
    public static Devices.Chosen open(RunConfig c) {
        return open(c, c.device());
    }

    /// As [#open(RunConfig)], on another device than the configured one.
    public static Devices.Chosen open(RunConfig c, String device) {
        return Devices.open(device, c.precision(), () -> {
            try (ModelDir files = ModelDir.open(c.model().directory())) {
                return narrow(c, files);
            }
        });
    }

    /// Whether the matrices of the base are held in BF16 or NF4.
    static boolean narrow(RunConfig c, ModelDir files) {
        if (c.adapter() instanceof Full)
            return false;
        for (String name : files.tensors().keySet()) {
            int rank = files.shape(name).size();
            if (rank == 2) {
                DType held = c.model().base().type(name, rank, files.type(name));
                if (held == DType.BF16 || held == DType.NF4)
                    return true;
            }
        }
        return false;
    }
}
