/// What a run leaves on disk: the run directory, checkpoints, metrics, provenance.
@NullMarked
package dev.gyre.trainer.run;

import org.jspecify.annotations.NullMarked;
