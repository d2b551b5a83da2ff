/// The operations of a training step: [Op], a sealed family of records over buffers ([Buf]), with the data types, access
/// modes and index helpers that every backend shares.
@NullMarked
package dev.gyre.kernels.op;

import org.jspecify.annotations.NullMarked;
