/// The worked examples of `gyre example`: data that everybody can have, four methods on them, side by side.
@NullMarked
package dev.gyre.trainer.example;

import org.jspecify.annotations.NullMarked;
