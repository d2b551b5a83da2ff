/// The operations of a training step: [Op], a sealed family of records over buffers ([Buf]), with the data types,
/// access modes and index helpers that every backend shares. `README.md` in this folder says how to add one.
@NullMarked
package dev.gyre.kernels.op;

import org.jspecify.annotations.NullMarked;
