/// An archive of Gyre with a Java runtime of its own.
@NullMarked
package dev.gyre.trainer.bundle;

import org.jspecify.annotations.NullMarked;
