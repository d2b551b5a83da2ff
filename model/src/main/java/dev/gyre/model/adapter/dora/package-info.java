/// DoRA: LoRA turns the rows of each weight, a trained magnitude gives their lengths.
@NullMarked
package dev.gyre.model.adapter.dora;

import org.jspecify.annotations.NullMarked;
