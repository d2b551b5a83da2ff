/// ONNX files: their graphs, and the encoders that are in them.
@NullMarked
package dev.gyre.model.onnx;

import org.jspecify.annotations.NullMarked;
