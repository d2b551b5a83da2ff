/// The operations as TornadoVM kernels: plain Java loops that a device compiler turns into OpenCL, CUDA or PTX, and the one
/// class that builds task graphs of them. The only package that imports `uk.ac.manchester.tornado`.
///
/// How to read a kernel: `for (@Parallel int i = 0; i < (n & ALL); i++)` is what a device runs as one work item per i; `at` holds for
/// each array argument that may be a window the index of its first element; ints and floats are constants of the compiled
/// kernel.
/// What the compiler gets wrong is listed in the linter among the tests, which every kernel here passes: no `>>>`, no
/// `Math.fma`, no private array that is not cleared, names that OpenCL does not use itself.
@NullMarked
package dev.gyre.kernels.tornado;

import org.jspecify.annotations.NullMarked;
