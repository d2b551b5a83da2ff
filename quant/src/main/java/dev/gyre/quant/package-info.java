/// Four-bit weights, bit for bit as bitsandbytes makes them: the NF4 codec ([Nf4]), quantised block maxima
/// ([DoubleQuant]), their layout in a file ([BnbLayout]) and what they cost in accuracy ([QuantError]).
@NullMarked
package dev.gyre.quant;

import org.jspecify.annotations.NullMarked;
