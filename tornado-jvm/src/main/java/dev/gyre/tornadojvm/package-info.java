/// Runs task graphs on JVM threads where no TornadoVM SDK is present. Not fast: strict. Every array has a second copy that
/// plays the device's, so that a forgotten transfer, a kernel that reads what it only writes, or a grid that does not fit
/// fails here as it would on a device.
@NullMarked
package dev.gyre.tornadojvm;

import org.jspecify.annotations.NullMarked;
