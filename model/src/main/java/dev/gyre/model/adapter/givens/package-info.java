/// GOFT and qGOFT: Givens rotations in a tournament over the input features.
@NullMarked
package dev.gyre.model.adapter.givens;

import org.jspecify.annotations.NullMarked;
