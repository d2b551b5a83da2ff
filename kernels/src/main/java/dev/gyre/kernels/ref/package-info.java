/// The reference: every operation of [dev.gyre.kernels.op.Op] in double precision, by plain loops, one thread,
/// no tricks. It is frozen: optimised backends are checked against it, never against each other, and no
/// model runs on it. Forward and backward of an operation stand in one file.
@NullMarked
package dev.gyre.kernels.ref;

import org.jspecify.annotations.NullMarked;
