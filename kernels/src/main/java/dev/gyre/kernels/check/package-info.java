/// Checks of backends, for tests and for `gyre kernels --check`. Each operation is stated once, by a record in the class of
/// its family (`NormCases`, `RotateCases`, ...): the statement is run at odd sizes against the double-precision reference
/// ([OpCheck]), compared with finite differences, and timed at the sizes of a model ([OpTimer], [Size]).
@NullMarked
package dev.gyre.kernels.check;

import org.jspecify.annotations.NullMarked;
