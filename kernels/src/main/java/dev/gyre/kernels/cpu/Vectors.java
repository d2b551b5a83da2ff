package dev.gyre.kernels.cpu;

import com.sun.management.HotSpotDiagnosticMXBean;
import java.lang.management.ManagementFactory;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/// Vectors of 4, 8 or 16 lanes: the JVM's preference, or the system property `gyre.simd` (see [SimdChoice]). The width
/// is a static constant because C2 turns vector calls into instructions only if it knows the species.
final class Vectors {
    static final VectorSpecies<Float> S = species();
    static final int L = S.length();
    static final VectorSpecies<Integer> SI = VectorSpecies.of(int.class, S.vectorShape());
    static final VectorSpecies<Double> SD = VectorSpecies.of(double.class, S.vectorShape());
    static final VectorSpecies<Short> SS = VectorSpecies.of(short.class,
            VectorShape.forBitSize(S.vectorBitSize() / 2));
    private static final boolean ARM = System.getProperty("os.arch", "").equals("aarch64");
    static final boolean WIDE = L == 16 || ARM;
    /// Without hardware support `fma` is emulated in software by BigDecimal.
    static final boolean FMA = ARM || hasFma();

    private static VectorSpecies<Float> species() {
        return switch (SimdChoice.property()) {
            case "128" -> FloatVector.SPECIES_128;
            case "256" -> FloatVector.SPECIES_256;
            case "512" -> FloatVector.SPECIES_512;
            default -> {
                VectorSpecies<Float> p = FloatVector.SPECIES_PREFERRED;
                yield p.length() >= 16 ? FloatVector.SPECIES_512
                        : p.length() == 8 ? FloatVector.SPECIES_256 : FloatVector.SPECIES_128;
            }
        };
    }

    private static boolean hasFma() {
        HotSpotDiagnosticMXBean vm = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        try {
            return vm == null || Boolean.parseBoolean(vm.getVMOption("UseFMA").getValue());
        } catch (IllegalArgumentException notHotSpot) {
            return true;
        }
    }

    static FloatVector at(float[] a, int i) {
        return FloatVector.fromArray(S, a, i);
    }

    static FloatVector fma(FloatVector a, FloatVector b, FloatVector c) {
        return FMA ? a.fma(b, c) : a.mul(b).add(c);
    }

    static int whole(int n) {
        return n - n % L;
    }

    static VectorMask<Float> first(int n) {
        return S.indexInRange(0, n);
    }

    static void put(FloatVector v, float[] c, int at, boolean accumulate) {
        (accumulate ? v.add(at(c, at)) : v).intoArray(c, at);
    }

    /// `reduceLanes(ADD)` of floats may differ in order between interpreter and compiler; results must not.
    static float sum(FloatVector v) {
        FloatVector t = v;
        if (L >= 16)
            t = t.add(t.rearrange(HALF8));
        if (L >= 8)
            t = t.add(t.rearrange(HALF4));
        t = t.add(t.rearrange(HALF2));
        return t.lane(0) + t.lane(1);
    }

    private static final VectorShuffle<Float> HALF8 = VectorShuffle.fromOp(S, i -> (i + 8) % L);
    private static final VectorShuffle<Float> HALF4 = VectorShuffle.fromOp(S, i -> (i + 4) % L);
    private static final VectorShuffle<Float> HALF2 = VectorShuffle.fromOp(S, i -> (i + 2) % L);

    private Vectors() {
    }

    /// The arithmetic in vectors.
    static Simd simd() {
        String asked = SimdChoice.property();
        String why = asked.equals("auto") || asked.equals("scalar") ? "the JVM's preference" : "gyre.simd=" + asked;
        return new Simd(L, "Vector API, " + L + " lanes (" + why + ")" + (FMA ? "" : ", no fused multiply-add"),
                new VectorElements(), new VectorSoftmax(), new VectorGivens(), new VectorLayout(), new VectorTiles(),
                new VectorDecoders(), new VectorActivations(), new VectorLayerNorm());
    }
}
