/// What every backend is put through: a table of cases for all operations ([OpCases]), the check of one case against
/// the reference ([OpCheck]), and finite differences of the reference itself ([GradCheck]).
@NullMarked
package dev.gyre.kernels.check;

import org.jspecify.annotations.NullMarked;
