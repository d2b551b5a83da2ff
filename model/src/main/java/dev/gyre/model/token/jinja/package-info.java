/// An interpreter of the Jinja subset that chat templates use. It records which text each turn produced, so that the loss
/// can be limited to the assistant's.
@NullMarked
package dev.gyre.model.token.jinja;

import org.jspecify.annotations.NullMarked;
