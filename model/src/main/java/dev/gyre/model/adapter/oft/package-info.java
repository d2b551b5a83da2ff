/// OFTv2 and OFT v1: rotations of blocks of the input features.
@NullMarked
package dev.gyre.model.adapter.oft;

import org.jspecify.annotations.NullMarked;
