/// The operations as TornadoVM kernels: plain Java loops that a device compiler turns into OpenCL, CUDA or PTX, and the one
/// class that builds task graphs of them. The only package that imports `uk.ac.manchester.tornado`.
///
/// Each family of operations `XOps` has a class `XTornado`, which turns its operations into tasks, and its kernels in classes
/// whose names begin with X: `XKernels`, and variants for GPUs that share local memory (`XRowKernels`, `XTileKernels`, ...).
/// [dev.gyre.kernels.tornado.Lowering] chooses the family.
///
/// How to read a kernel: a device runs `for (@Parallel int i = 0; i < (n & ALL); i++)` as one work item per i. `at` holds
/// the index of the first element of each array argument that may be part of a larger array. Scalar arguments are
/// constants of the compiled kernel.
/// What TornadoVM compiles wrongly is listed in `KernelLint` among the tests, which every kernel passes: no `>>>`, no
/// `Math.fma`, no private arrays, no names that are words of OpenCL.
@NullMarked
package dev.gyre.kernels.tornado;

import org.jspecify.annotations.NullMarked;
