/// What every backend is put through, by the tests and by a user's `gyre kernels --check`: a table of cases for all
/// operations ([OpCases]) and the check of one case against the reference ([OpCheck]).
@NullMarked
package dev.gyre.kernels.check;

import org.jspecify.annotations.NullMarked;
