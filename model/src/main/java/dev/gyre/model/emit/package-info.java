/// What the transformer and the adapters share to emit a step: trainable [Tensor]s, their [Buffers], the
/// [Emitter] that collects operations, and [Linear], the layer that adapters wrap.
@NullMarked
package dev.gyre.model.emit;

import org.jspecify.annotations.NullMarked;
