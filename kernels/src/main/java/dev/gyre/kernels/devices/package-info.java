/// The devices that a user can name: which backend a name opens, and what a run would take on it.
@NullMarked
package dev.gyre.kernels.devices;

import org.jspecify.annotations.NullMarked;
