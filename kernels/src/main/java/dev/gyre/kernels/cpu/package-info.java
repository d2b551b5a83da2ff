/// The CPU backend: every operation on heap arrays, by a small pool of threads and the Vector API. [CpuBackend] is the
/// entry point. Arithmetic on slices of arrays is behind [Simd], with a vector and a scalar implementation; the classes
/// named `...Cpu` implement one family of operations each, forward and backward next to each other.
@NullMarked
package dev.gyre.kernels.cpu;

import org.jspecify.annotations.NullMarked;
