/// An interpreter of Jinja as chat templates use it, in the meaning of jinja2 3.1.6 and the environment of transformers. It
/// records which text each turn produced, so that the loss can be limited to the assistant's.
@NullMarked
package dev.gyre.model.token.jinja;

import org.jspecify.annotations.NullMarked;
