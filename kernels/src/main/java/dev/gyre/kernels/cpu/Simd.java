package dev.gyre.kernels.cpu;

/// Arithmetic on slices of float arrays, each slice an array and the offset of its first element; in vectors
/// ([Vectors]) or in plain loops. The two agree within rounding. Slices of one call may be identical if an element of
/// the output depends only on the same element of the input; otherwise they must not overlap.
///
/// @param lanes floats that one instruction handles
/// @param why in words, what this is and why it was chosen
record Simd(int lanes, String why, SimdElements elements, SimdSoftmax softmax, SimdGivens givens, SimdLayout layout,
        SimdTiles tiles, SimdDecoders decoders, SimdActivations activations, SimdLayerNorm layerNorm) {
    static Simd choose(SimdChoice choice) {
        String width = SimdChoice.property();
        if (choice == SimdChoice.SCALAR || (choice == SimdChoice.AUTO && width.equals("scalar")))
            return scalar("as asked");
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            String flag = "module jdk.incubator.vector is absent: start java with --add-modules jdk.incubator.vector";
            if (choice == SimdChoice.VECTOR)
                throw new IllegalStateException("no vector arithmetic: " + flag);
            return scalar(flag);
        }
        // the first use of the class, which cannot be linked without the module
        return Vectors.simd();
    }

    private static Simd scalar(String why) {
        return new Simd(1, "scalar loops (" + why + ")", new ScalarElements(), new ScalarSoftmax(), new ScalarGivens(),
                new ScalarLayout(), new ScalarTiles(), new ScalarDecoders(), new ScalarActivations(),
                new ScalarLayerNorm());
    }
}
