/// Where a model's weights are and how they are held: the place and shape of a linear layer ([Site]), the modules that an
/// adapter can sit on ([Sites]), and the forms that frozen weights take in memory ([Storage]).
@NullMarked
package dev.gyre.model.weights;

import org.jspecify.annotations.NullMarked;
