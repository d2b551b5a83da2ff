/// The CPU backend: every operation of the contract on heap arrays, by a small pool of threads and the Vector API.
/// [CpuBackend] is the way in. Arithmetic on slices sits behind [Simd], with a vector and a scalar twin; the
/// files named in the plural (`MatMuls`, `Attentions`, ...) hold the operations, forward beside backward.
@NullMarked
package dev.gyre.kernels.cpu;

import org.jspecify.annotations.NullMarked;
