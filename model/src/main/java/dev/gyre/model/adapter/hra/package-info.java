/// HRA: a chain of Householder reflections.
@NullMarked
package dev.gyre.model.adapter.hra;

import org.jspecify.annotations.NullMarked;
