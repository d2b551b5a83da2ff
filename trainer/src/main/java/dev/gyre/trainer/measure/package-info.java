/// Measuring models: loss, answers, merged against unmerged weights, geometry of the weights.
@NullMarked
package dev.gyre.trainer.measure;

import org.jspecify.annotations.NullMarked;
