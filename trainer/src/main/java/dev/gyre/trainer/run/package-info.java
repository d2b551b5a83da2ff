/// From a configuration to a run: opens model, adapter, data and device, trains, and writes the result.
@NullMarked
package dev.gyre.trainer.run;

import org.jspecify.annotations.NullMarked;
