/// Markers that the compiler of a TornadoVM SDK reads.
@NullMarked
package uk.ac.manchester.tornado.api.annotations;

import org.jspecify.annotations.NullMarked;
