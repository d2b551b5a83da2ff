/// PSOFT (MOFT): a rotation inside the principal subspace of each weight.
@NullMarked
package dev.gyre.model.adapter.psoft;

import org.jspecify.annotations.NullMarked;
