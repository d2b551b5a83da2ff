/// TornadoVM's calls of cuBLAS, as far as Gyre makes them.
@NullMarked
package uk.ac.manchester.tornado.cublas;

import org.jspecify.annotations.NullMarked;
