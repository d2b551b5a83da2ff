/// Runs task graphs on JVM threads if no TornadoVM SDK is present. It is strict rather than fast: every array has a second
/// copy in the role of device memory, so that a forgotten transfer, a kernel that reads an array it was meant to write, or
/// a grid of the wrong size fails here as it would on a device.
@NullMarked
package dev.gyre.tornadojvm;

import org.jspecify.annotations.NullMarked;
