/// What a run came to: results, reports as pages and pictures, and the comparison of runs.
@NullMarked
package dev.gyre.trainer.report;

import org.jspecify.annotations.NullMarked;
