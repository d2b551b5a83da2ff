/// Training on pairs of answers: DPO and ORPO.
@NullMarked
package dev.gyre.trainer.preference;

import org.jspecify.annotations.NullMarked;
