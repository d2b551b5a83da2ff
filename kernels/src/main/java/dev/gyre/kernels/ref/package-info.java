/// The reference: every operation of [dev.gyre.kernels.op.Op] in double precision, by plain loops on one thread.
/// Optimised backends are checked against it, never against each other; models do not run on it. One class per family
/// of operations, forward and backward next to each other.
@NullMarked
package dev.gyre.kernels.ref;

import org.jspecify.annotations.NullMarked;
