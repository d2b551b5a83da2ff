/// TornadoVM's interface for native libraries, as far as Gyre uses it.
@NullMarked
package uk.ac.manchester.tornado.runtime.common;

import org.jspecify.annotations.NullMarked;
