/// Workers of one run: who they are, how they add their gradients, how they end together.
@NullMarked
package dev.gyre.dist;

import org.jspecify.annotations.NullMarked;
