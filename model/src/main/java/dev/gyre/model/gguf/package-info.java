/// The file format of llama.cpp, GGUF: reading, writing, and what its metadata and tensor names mean for the models that
/// Gyre knows.
@NullMarked
package dev.gyre.model.gguf;

import org.jspecify.annotations.NullMarked;
