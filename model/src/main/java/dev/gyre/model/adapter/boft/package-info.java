/// BOFT: butterfly products of block rotations.
@NullMarked
package dev.gyre.model.adapter.boft;

import org.jspecify.annotations.NullMarked;
