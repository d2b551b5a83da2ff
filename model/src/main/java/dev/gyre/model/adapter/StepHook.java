package dev.gyre.model.adapter;

import dev.gyre.model.emit.Tensor;

/// What a method does on the host after each optimiser step: AdaLoRA's rank allocation.
public interface StepHook {
    /// Values of trainable tensors, not copies.
    interface Values {
        float[] all();

        /// Where the values of `t` begin in [#all].
        int offset(Tensor t);
    }

    /// @param t optimiser steps done, from 1
    /// @param parameters as the step left them; changed in place
    /// @param gradients that the step was made with, before clipping
    /// @param clip factor by which clipping shortened them, 1 for none
    /// @return whether parameters were changed
    boolean afterStep(long t, Values parameters, Values gradients, double clip);

    /// All that it keeps from step to step: restoring it continues a run bit for bit.
    double[] state();

    void restore(double[] state);
}
