/// The transformer: its weights, the programs it emits, and the sessions that train it, evaluate it and generate text
/// with it.
@NullMarked
package dev.gyre.model.transformer;

import org.jspecify.annotations.NullMarked;
