/// Checks of the TornadoVM kernels: against the double-precision reference, and against what TornadoVM's compilers get wrong.
@NullMarked
package dev.gyre.kernels.tornado;

import org.jspecify.annotations.NullMarked;
