/// File formats, and no arithmetic: safetensors, Hugging Face model directories, PEFT adapter directories, and
/// the crash-safe writes under all of them. What is wrong with a file is a [FormatException] of one line.
@NullMarked
package dev.gyre.model.format;

import org.jspecify.annotations.NullMarked;
