/// Adapters: what each method is ([AdapterSpec]), its trained state ([Adapter]), how it joins a frozen weight
/// ([AdaptedLinear]), and how it folds into one ([Merge]).
@NullMarked
package dev.gyre.model.adapter;

import org.jspecify.annotations.NullMarked;
