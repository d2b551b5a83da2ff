/// What runs a training step: straight-line programs of operations ([Program]), the plan of where each buffer lives
/// ([MemoryPlan]), and the [Backend]s that run them. The operations themselves are in `kernels.op`.
@NullMarked
package dev.gyre.kernels;

import org.jspecify.annotations.NullMarked;
