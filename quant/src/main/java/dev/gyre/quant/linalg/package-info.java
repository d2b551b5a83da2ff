/// Linear algebra on a whole weight, done once at set-up or in a report: leading singular triplets
/// ([TruncatedSvd]) and hyperspherical energy ([HypersphericalEnergy]).
///
/// It lives in this module because this is the lowest one with Apache Commons Math: `kernels` stays free of libraries,
/// and the adapters of `model` that need a principal subspace only ask for the result. Products with the weight are
/// [dev.gyre.kernels.Program]s, so they run on any [dev.gyre.kernels.Backend] and read F32, BF16 and NF4 alike; Commons
/// Math does the small dense core.
@NullMarked
package dev.gyre.quant.linalg;

import org.jspecify.annotations.NullMarked;
