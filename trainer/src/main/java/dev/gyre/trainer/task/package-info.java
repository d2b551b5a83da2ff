/// Runs of models with a head: examples with labels, batches, the loop, scores, and what is left on the disk.
@NullMarked
package dev.gyre.trainer.task;

import org.jspecify.annotations.NullMarked;
