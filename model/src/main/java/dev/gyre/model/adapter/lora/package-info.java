/// LoRA: a product of two thin matrices added to each weight.
@NullMarked
package dev.gyre.model.adapter.lora;

import org.jspecify.annotations.NullMarked;
