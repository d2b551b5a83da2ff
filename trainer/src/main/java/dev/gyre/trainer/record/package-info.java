/// What a run leaves on disk: the run directory, checkpoints, metrics, TensorBoard events, provenance.
@NullMarked
package dev.gyre.trainer.record;

import org.jspecify.annotations.NullMarked;
