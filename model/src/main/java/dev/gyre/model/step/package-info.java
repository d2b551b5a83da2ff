/// What the transformer and the adapters share to emit a step: trainable [Tensor]s, their [Store] of buffers, the
/// [Emitter] that collects operations, and [Linear], the layer that adapters wrap.
@NullMarked
package dev.gyre.model.step;

import org.jspecify.annotations.NullMarked;
