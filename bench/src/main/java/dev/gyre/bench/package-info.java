/// Measurements: whole training steps and single operations, each checked before it is timed.
@NullMarked
package dev.gyre.bench;

import org.jspecify.annotations.NullMarked;
