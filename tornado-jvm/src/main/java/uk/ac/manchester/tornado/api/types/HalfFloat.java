package uk.ac.manchester.tornado.api.types;

/// Sixteen bits of a tensor core's operand: of an FP16 or, in a fragment for `mmaBF16`, of a BF16 number.
public class HalfFloat {
    private final short bits;

    public HalfFloat(short bits) {
        this.bits = bits;
    }

    public short getHalfFloatValue() {
        return bits;
    }
}
