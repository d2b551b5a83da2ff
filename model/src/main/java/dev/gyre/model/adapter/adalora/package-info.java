/// AdaLoRA: LoRA as a singular value decomposition whose directions compete for a budget while it trains.
@NullMarked
package dev.gyre.model.adapter.adalora;

import org.jspecify.annotations.NullMarked;
