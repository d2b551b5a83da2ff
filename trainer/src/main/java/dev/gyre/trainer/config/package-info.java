/// The run configuration: records that carry their own documentation, the reader that binds YAML to them and
/// points at mistakes, and the writer of resolved and commented samples.
@NullMarked
package dev.gyre.trainer.config;

import org.jspecify.annotations.NullMarked;
