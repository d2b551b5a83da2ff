/// Gyre as a library. [dev.gyre.api.LanguageModel] loads a model, adapts, trains, evaluates, continues text, saves and merges;
/// [dev.gyre.api.Runs] trains and measures what configuration files describe; [dev.gyre.api.Models] makes model directories
/// from others. Nothing here prints or exits. What a caller can mend is a [dev.gyre.kernels.GyreException] whose message
/// says what is wrong, where, and what to do; any other exception is a bug.
@NullMarked
package dev.gyre.api;

import org.jspecify.annotations.NullMarked;
