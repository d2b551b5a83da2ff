/// Four-bit weights, bit for bit as bitsandbytes makes them: the NF4 codec ([Nf4]), quantised block maxima
/// ([DoubleQuant]) and their layout in a file ([BnbLayout]).
@NullMarked
package dev.gyre.quant;

import org.jspecify.annotations.NullMarked;
