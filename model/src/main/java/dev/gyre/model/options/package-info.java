/// How a record says what its components mean in a configuration file: key, default, range, alternatives. The options of
/// an adapter's method are such records; so are the sections of run.yaml.
@NullMarked
package dev.gyre.model.options;

import org.jspecify.annotations.NullMarked;
