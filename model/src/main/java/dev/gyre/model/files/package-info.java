/// Files in general, for all of Gyre: crash-safe writes, directory locks, JSON that is read strictly, and the one exception
/// for a file whose contents are wrong ([FormatException]).
@NullMarked
package dev.gyre.model.files;

import org.jspecify.annotations.NullMarked;
