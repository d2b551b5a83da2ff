/// The transformer (Llama, Mistral, Qwen2, Qwen3): its weights, the programs it emits, and the sessions that train it,
/// measure it and continue text with it.
@NullMarked
package dev.gyre.model.transformer;

import org.jspecify.annotations.NullMarked;
