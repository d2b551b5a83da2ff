/// The live page of a run, served on this machine.
@NullMarked
package dev.gyre.trainer.watch;

import org.jspecify.annotations.NullMarked;
