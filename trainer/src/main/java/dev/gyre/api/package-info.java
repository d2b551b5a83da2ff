/// Gyre as a library: [dev.gyre.api.LanguageModel] loads a model, adapts, trains, evaluates, continues text, saves and
/// merges. Nothing here prints or exits; what goes wrong is an exception whose message says what to do.
@NullMarked
package dev.gyre.api;

import org.jspecify.annotations.NullMarked;
