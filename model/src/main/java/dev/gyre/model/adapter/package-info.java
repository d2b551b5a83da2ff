/// Adapters: what a method is ([Method]) and which there are ([Methods]), the trained state of an adapter on a model
/// ([Adapter]), how it joins a frozen weight ([AdaptedLinear]), and PEFT's directories ([PeftFile]). Each method lives in a
/// package below this one, which knows none of them; `README.md` here says how to add one.
@NullMarked
package dev.gyre.model.adapter;

import org.jspecify.annotations.NullMarked;
