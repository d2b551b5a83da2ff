/// Model and adapter directories made from others: merged, unmerged, quantised, exported.
@NullMarked
package dev.gyre.trainer.convert;

import org.jspecify.annotations.NullMarked;
