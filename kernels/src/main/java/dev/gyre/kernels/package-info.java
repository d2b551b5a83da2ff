/// Running a training step: programs, fixed sequences of operations ([Program]), the plan of where each buffer is in
/// memory ([MemoryPlan]), and the [Backend]s that execute them. The operations themselves are in `kernels.op`.
@NullMarked
package dev.gyre.kernels;

import org.jspecify.annotations.NullMarked;
