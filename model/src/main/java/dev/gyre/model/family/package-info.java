/// What `config.json` of a Llama-style model says, checked and typed, and the rotary tables that follow from it.
@NullMarked
package dev.gyre.model.family;

import org.jspecify.annotations.NullMarked;
