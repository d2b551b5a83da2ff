/// Models of the Hugging Face hub: its HTTP interface, and the cache on this machine that Python's tools use as well.
@NullMarked
package dev.gyre.trainer.hub;

import org.jspecify.annotations.NullMarked;
