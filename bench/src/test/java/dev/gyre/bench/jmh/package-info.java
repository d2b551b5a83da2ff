/// JMH benchmarks of single operations; see bench/README.md for how to run them from the jar.
@NullMarked
package dev.gyre.bench.jmh;

import org.jspecify.annotations.NullMarked;
