/// The part of TornadoVM's programming interface that Gyre calls, run by [dev.gyre.tornadojvm] on JVM threads. With a TornadoVM
/// SDK on the module path these classes are never loaded: its own module `tornado.api` owns the package.
@NullMarked
package uk.ac.manchester.tornado.api;

import org.jspecify.annotations.NullMarked;
