package dev.gyre.kernels.op;

import java.lang.foreign.MemorySegment;
import java.lang.ref.WeakReference;
import java.util.Collection;
import org.jspecify.annotations.Nullable;

/// The values of one frozen weight, in host memory or ([Stored]) in a file. Arrays are not copied: a caller hands them to
/// [dev.gyre.kernels.Session#bind] and does not change them afterwards.
public sealed interface HostData {
    /// Number of weight elements.
    long size();

    DType dtype();

    /// Bytes of the values in [#dtype], tables and block maxima included.
    long bytes();

    /// The values in the arrays of [F32], [BF16] or [NF4]; itself unless it is [Stored].
    default HostData inMemory() {
        return this;
    }

    /// Writes elements `from .. from + n - 1` of the row-major weight as F32 to `into[at]` and on. Any start, any
    /// length.
    ///
    /// @throws IllegalArgumentException when the weight has no such elements
    void decode(long from, int n, float[] into, int at);

    /// Elements `from .. from + n - 1` as F32, a fresh array.
    default float[] decode(long from, int n) {
        float[] values = new float[n];
        decode(from, n, values, 0);
        return values;
    }

    /// All elements as F32: an F32 weight's own array, which is not to be changed, otherwise a fresh one.
    default float[] floats() {
        return inMemory() instanceof F32 f ? f.values : decode(0, Math.toIntExact(size()));
    }

    private static void checkRange(HostData w, long from, int n) {
        if (from < 0 || n < 0 || from + n > w.size())
            throw new IllegalArgumentException("elements " + from + ".." + (from + n - 1) + " are outside a weight of "
                    + w.size() + " elements");
    }

    /// Single precision.
    final class F32 implements HostData {
        public final float[] values;

        public F32(float[] values) {
            this.values = values;
        }

        @Override
        public long size() {
            return values.length;
        }

        @Override
        public DType dtype() {
            return DType.F32;
        }

        @Override
        public long bytes() {
            return 4L * values.length;
        }

        @Override
        public void decode(long from, int n, float[] into, int at) {
            checkRange(this, from, n);
            System.arraycopy(values, (int) from, into, at, n);
        }
    }

    /// BF16 as raw bits, the upper half of an F32's.
    final class BF16 implements HostData {
        public final short[] bits;

        public BF16(short[] bits) {
            this.bits = bits;
        }

        /// The value of a BF16, exactly.
        public static float value(short bits) {
            return Float.intBitsToFloat(bits << 16);
        }

        /// Bits of the nearest BF16, ties to even; NaN stays a quiet NaN of the same sign.
        public static short bits(float x) {
            int b = Float.floatToRawIntBits(x);
            return (short) (Float.isNaN(x) ? b >>> 16 | 0x40 : b + 0x7fff + (b >>> 16 & 1) >>> 16);
        }

        @Override
        public long size() {
            return bits.length;
        }

        @Override
        public DType dtype() {
            return DType.BF16;
        }

        @Override
        public long bytes() {
            return 2L * bits.length;
        }

        @Override
        public void decode(long from, int n, float[] into, int at) {
            checkRange(this, from, n);
            for (int i = 0; i < n; i++)
                into[at + i] = value(bits[(int) from + i]);
        }
    }

    /// Values that stay in their file, for a session on a device: it copies them there in pieces, and the host holds none of
    /// them. [#inMemory] is for everything else.
    final class Stored implements HostData {
        /// Reads from the file.
        @FunctionalInterface
        public interface Source {
            /// Writes elements `from .. from + n - 1`, as F32 or as BF16 (little endian), to the first bytes of `to`.
            void read(long from, int n, MemorySegment to);
        }

        private static final int PIECE = 1 << 16;

        private final int size;
        private final DType dtype;
        private final Source source;
        /// Shared by the sessions that have it in memory, and gone with the last of them.
        private WeakReference<HostData> loaded = new WeakReference<>(null);

        /// @param dtype F32 or BF16
        public Stored(int size, DType dtype, Source source) {
            if (dtype != DType.F32 && dtype != DType.BF16)
                throw new IllegalArgumentException("a stored weight of " + dtype);
            this.size = size;
            this.dtype = dtype;
            this.source = source;
        }

        /// Of all weights among these that are stored.
        public static long bytes(Collection<HostData> weights) {
            return weights.stream().filter(Stored.class::isInstance).mapToLong(HostData::bytes).sum();
        }

        @Override
        public synchronized HostData inMemory() {
            HostData d = loaded.get();
            if (d == null) {
                if (dtype == DType.F32) {
                    float[] values = new float[size];
                    read(0, size, MemorySegment.ofArray(values));
                    d = new F32(values);
                } else {
                    short[] bits = new short[size];
                    read(0, size, MemorySegment.ofArray(bits));
                    d = new BF16(bits);
                }
                loaded = new WeakReference<>(d);
            }
            return d;
        }

        /// As [Source#read].
        ///
        /// @throws IllegalArgumentException when the weight has no such elements
        public void read(long from, int n, MemorySegment to) {
            checkRange(this, from, n);
            source.read(from, n, to);
        }

        @Override
        public long size() {
            return size;
        }

        @Override
        public DType dtype() {
            return dtype;
        }

        @Override
        public long bytes() {
            return dtype.bytes(size);
        }

        @Override
        public void decode(long from, int n, float[] into, int at) {
            checkRange(this, from, n);
            if (dtype == DType.F32) {
                source.read(from, n, MemorySegment.ofArray(into).asSlice(4L * at, 4L * n));
                return;
            }
            short[] bits = new short[Math.min(n, PIECE)];
            for (int done = 0; done < n;) {
                int k = Math.min(bits.length, n - done);
                source.read(from + done, k, MemorySegment.ofArray(bits));
                for (int i = 0; i < k; i++)
                    into[at + done + i] = BF16.value(bits[i]);
                done += k;
            }
        }
    }

    /// 4-bit NormalFloat as bitsandbytes stores it: element e of the row-major matrix has code
    /// `e even ? codes[e/2] >> 4 & 15 : codes[e/2] & 15` and value `codeBook[code] * absmax(e / blockSize)`.
    /// Block maxima are plain floats, or (double quantisation)
    /// `absmax(k) = nestedMap[absmaxCodes[k] & 255] * nestedAbsmax[k / nestedBlockSize] + nestedOffset`.
    final class NF4 implements HostData {
        public final long size;
        public final byte[] codes;
        public final int blockSize;
        public final float[] codeBook;
        /// Plain block maxima; null under double quantisation.
        public final float @Nullable [] absmax;
        /// Codes of the block maxima; null without double quantisation, as are the three tables below it.
        public final byte @Nullable [] absmaxCodes;

        public final float @Nullable [] nestedAbsmax;
        public final float @Nullable [] nestedMap;
        public final int nestedBlockSize;
        public final float nestedOffset;

        public NF4(long size, byte[] codes, int blockSize, float[] codeBook, float[] absmax) {
            this(size, codes, blockSize, codeBook, absmax, null, null, null, 0, 0f);
        }

        public NF4(long size, byte[] codes, int blockSize, float[] codeBook, byte[] absmaxCodes,
                float[] nestedAbsmax, float[] nestedMap, int nestedBlockSize, float nestedOffset) {
            this(size, codes, blockSize, codeBook, null, absmaxCodes, nestedAbsmax, nestedMap, nestedBlockSize,
                    nestedOffset);
        }

        private NF4(long size, byte[] codes, int blockSize, float[] codeBook, float @Nullable [] absmax,
                byte @Nullable [] absmaxCodes, float @Nullable [] nestedAbsmax, float @Nullable [] nestedMap,
                int nestedBlockSize, float nestedOffset) {
            this.size = size;
            this.codes = codes;
            this.blockSize = blockSize;
            this.codeBook = codeBook;
            this.absmax = absmax;
            this.absmaxCodes = absmaxCodes;
            this.nestedAbsmax = nestedAbsmax;
            this.nestedMap = nestedMap;
            this.nestedBlockSize = nestedBlockSize;
            this.nestedOffset = nestedOffset;
            long blocks = (size + blockSize - 1) / blockSize;
            int have = absmax != null ? absmax.length : absmaxCodes != null ? absmaxCodes.length : -1;
            if (codes.length != (size + 1) / 2 || have != blocks || codeBook.length != 16)
                throw new IllegalArgumentException("NF4 of " + size + " elements in blocks of " + blockSize + " needs "
                        + (size + 1) / 2 + " code bytes, " + blocks + " block maxima and 16 code values; got "
                        + codes.length + ", " + have + ", " + codeBook.length);
        }

        /// Maximum of block k, decoded in F32 as bitsandbytes does (two roundings, no fused multiply-add).
        public float absmax(int k) {
            if (absmax != null)
                return absmax[k];
            if (absmaxCodes == null || nestedMap == null || nestedAbsmax == null)
                throw new IllegalStateException("NF4 block maxima are missing");
            return nestedMap[absmaxCodes[k] & 0xff] * nestedAbsmax[k / nestedBlockSize] + nestedOffset;
        }

        /// Element `e` of the row-major matrix.
        public float value(long e) {
            int b = codes[(int) (e >> 1)] & 0xff;
            int code = (e & 1) == 0 ? b >> 4 : b & 15;
            return codeBook[code] * absmax((int) (e / blockSize));
        }

        /// Works block by block, so that a maximum is decoded and multiplied into the code book once.
        @Override
        public void decode(long from, int n, float[] into, int at) {
            checkRange(this, from, n);
            float[] scaled = new float[16];
            long end = from + n;
            int to = at;
            for (long e = from; e < end;) {
                int k = (int) (e / blockSize);
                long stop = Math.min(end, (k + 1L) * blockSize);
                float absmax = absmax(k);
                for (int c = 0; c < 16; c++)
                    scaled[c] = codeBook[c] * absmax;
                if ((e & 1) != 0 && e < stop)
                    into[to++] = scaled[codes[(int) (e++ >> 1)] & 15];
                int pairs = (int) (stop - e >> 1);
                int first = (int) (e >> 1);
                for (int i = 0; i < pairs; i++) {
                    int b = codes[first + i];
                    into[to + 2 * i] = scaled[b >> 4 & 15];
                    into[to + 2 * i + 1] = scaled[b & 15];
                }
                to += 2 * pairs;
                e += 2L * pairs;
                if (e < stop)
                    into[to++] = scaled[codes[(int) (e++ >> 1)] >> 4 & 15];
            }
        }

        @Override
        public long size() {
            return size;
        }

        @Override
        public DType dtype() {
            return DType.NF4;
        }

        @Override
        public long bytes() {
            long maxima = absmax != null ? 4L * absmax.length : 0;
            if (absmaxCodes != null && nestedAbsmax != null && nestedMap != null)
                maxima += absmaxCodes.length + 4L * nestedAbsmax.length + 4L * nestedMap.length;
            return codes.length + maxima + 64;
        }
    }
}
