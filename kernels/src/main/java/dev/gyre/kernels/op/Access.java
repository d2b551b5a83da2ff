package dev.gyre.kernels.op;

/// How an operation touches one buffer. WRITE means that every element is written and none read before.
public record Access(Buf buf, Mode mode) {
    public enum Mode {
        READ, WRITE, READ_WRITE
    }

    static Access read(Buf b) {
        return new Access(b, Mode.READ);
    }

    static Access write(Buf b) {
        return new Access(b, Mode.WRITE);
    }

    static Access update(Buf b) {
        return new Access(b, Mode.READ_WRITE);
    }

    /// `update` where an operation adds to what is there, `write` where it replaces it.
    static Access into(Buf b, boolean accumulate) {
        return accumulate ? update(b) : write(b);
    }

    public boolean reads() {
        return mode != Mode.WRITE;
    }

    public boolean writes() {
        return mode != Mode.READ;
    }
}
