/// The stand-in's rules, each with a task graph that breaks it.
@NullMarked
package dev.gyre.tornadojvm;

import org.jspecify.annotations.NullMarked;
