/// Text to token ids and back ([Tokenizer]), and conversations to text ([ChatTemplate]).
@NullMarked
package dev.gyre.model.token;

import org.jspecify.annotations.NullMarked;
