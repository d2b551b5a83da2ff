/// What a run will take before it starts: memory by part, on the CPU and on devices.
@NullMarked
package dev.gyre.trainer.plan;

import org.jspecify.annotations.NullMarked;
