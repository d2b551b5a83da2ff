/// The training loop: schedule, accumulation, evaluation, checkpoints at the right moments, listeners.
@NullMarked
package dev.gyre.trainer.loop;

import org.jspecify.annotations.NullMarked;
