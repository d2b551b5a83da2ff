/// The language a training step is written in: buffers ([Buf]), operations ([Op]), straight-line
/// programs of them ([Program]), the plan of where each buffer lives ([MemoryPlan]), and the
/// [Backend]s that run them.
@NullMarked
package dev.gyre.kernels;

import org.jspecify.annotations.NullMarked;
