package dev.gyre.tornadojvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static uk.ac.manchester.tornado.api.enums.DataTransferMode.EVERY_EXECUTION;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task4;
import uk.ac.manchester.tornado.api.enums.MMAShape;
import uk.ac.manchester.tornado.api.types.BFloat16;
import uk.ac.manchester.tornado.api.types.HalfFloat;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Tensor-core instructions: where each lane's elements are, written out from the figures of the PTX manual (fragments of
/// mma.m16n8k16 with 16-bit factors), and what a kernel makes of them.
class TensorCoreTest {
    private static final String ARRAYS = "Luk/ac/manchester/tornado/api/types/arrays/";

    /// `lane:element` of A, 16 rows (M) of 16 columns (K).
    private static final String A = """
             0:0  0:1  1:0  1:1  2:0  2:1  3:0  3:1  0:4  0:5  1:4  1:5  2:4  2:5  3:4  3:5
             4:0  4:1  5:0  5:1  6:0  6:1  7:0  7:1  4:4  4:5  5:4  5:5  6:4  6:5  7:4  7:5
             8:0  8:1  9:0  9:1 10:0 10:1 11:0 11:1  8:4  8:5  9:4  9:5 10:4 10:5 11:4 11:5
            12:0 12:1 13:0 13:1 14:0 14:1 15:0 15:1 12:4 12:5 13:4 13:5 14:4 14:5 15:4 15:5
            16:0 16:1 17:0 17:1 18:0 18:1 19:0 19:1 16:4 16:5 17:4 17:5 18:4 18:5 19:4 19:5
            20:0 20:1 21:0 21:1 22:0 22:1 23:0 23:1 20:4 20:5 21:4 21:5 22:4 22:5 23:4 23:5
            24:0 24:1 25:0 25:1 26:0 26:1 27:0 27:1 24:4 24:5 25:4 25:5 26:4 26:5 27:4 27:5
            28:0 28:1 29:0 29:1 30:0 30:1 31:0 31:1 28:4 28:5 29:4 29:5 30:4 30:5 31:4 31:5
             0:2  0:3  1:2  1:3  2:2  2:3  3:2  3:3  0:6  0:7  1:6  1:7  2:6  2:7  3:6  3:7
             4:2  4:3  5:2  5:3  6:2  6:3  7:2  7:3  4:6  4:7  5:6  5:7  6:6  6:7  7:6  7:7
             8:2  8:3  9:2  9:3 10:2 10:3 11:2 11:3  8:6  8:7  9:6  9:7 10:6 10:7 11:6 11:7
            12:2 12:3 13:2 13:3 14:2 14:3 15:2 15:3 12:6 12:7 13:6 13:7 14:6 14:7 15:6 15:7
            16:2 16:3 17:2 17:3 18:2 18:3 19:2 19:3 16:6 16:7 17:6 17:7 18:6 18:7 19:6 19:7
            20:2 20:3 21:2 21:3 22:2 22:3 23:2 23:3 20:6 20:7 21:6 21:7 22:6 22:7 23:6 23:7
            24:2 24:3 25:2 25:3 26:2 26:3 27:2 27:3 24:6 24:7 25:6 25:7 26:6 26:7 27:6 27:7
            28:2 28:3 29:2 29:3 30:2 30:3 31:2 31:3 28:6 28:7 29:6 29:7 30:6 30:7 31:6 31:7
            """;

    /// `lane:element` of B, 16 rows (K) of 8 columns (N).
    private static final String B = """
             0:0  4:0  8:0 12:0 16:0 20:0 24:0 28:0
             0:1  4:1  8:1 12:1 16:1 20:1 24:1 28:1
             1:0  5:0  9:0 13:0 17:0 21:0 25:0 29:0
             1:1  5:1  9:1 13:1 17:1 21:1 25:1 29:1
             2:0  6:0 10:0 14:0 18:0 22:0 26:0 30:0
             2:1  6:1 10:1 14:1 18:1 22:1 26:1 30:1
             3:0  7:0 11:0 15:0 19:0 23:0 27:0 31:0
             3:1  7:1 11:1 15:1 19:1 23:1 27:1 31:1
             0:2  4:2  8:2 12:2 16:2 20:2 24:2 28:2
             0:3  4:3  8:3 12:3 16:3 20:3 24:3 28:3
             1:2  5:2  9:2 13:2 17:2 21:2 25:2 29:2
             1:3  5:3  9:3 13:3 17:3 21:3 25:3 29:3
             2:2  6:2 10:2 14:2 18:2 22:2 26:2 30:2
             2:3  6:3 10:3 14:3 18:3 22:3 26:3 30:3
             3:2  7:2 11:2 15:2 19:2 23:2 27:2 31:2
             3:3  7:3 11:3 15:3 19:3 23:3 27:3 31:3
            """;

    /// `lane:element` of C and D, 16 rows (M) of 8 columns (N).
    private static final String C = """
             0:0  0:1  1:0  1:1  2:0  2:1  3:0  3:1
             4:0  4:1  5:0  5:1  6:0  6:1  7:0  7:1
             8:0  8:1  9:0  9:1 10:0 10:1 11:0 11:1
            12:0 12:1 13:0 13:1 14:0 14:1 15:0 15:1
            16:0 16:1 17:0 17:1 18:0 18:1 19:0 19:1
            20:0 20:1 21:0 21:1 22:0 22:1 23:0 23:1
            24:0 24:1 25:0 25:1 26:0 26:1 27:0 27:1
            28:0 28:1 29:0 29:1 30:0 30:1 31:0 31:1
             0:2  0:3  1:2  1:3  2:2  2:3  3:2  3:3
             4:2  4:3  5:2  5:3  6:2  6:3  7:2  7:3
             8:2  8:3  9:2  9:3 10:2 10:3 11:2 11:3
            12:2 12:3 13:2 13:3 14:2 14:3 15:2 15:3
            16:2 16:3 17:2 17:3 18:2 18:3 19:2 19:3
            20:2 20:3 21:2 21:3 22:2 22:3 23:2 23:3
            24:2 24:3 25:2 25:3 26:2 26:3 27:2 27:3
            28:2 28:3 29:2 29:3 30:2 30:3 31:2 31:3
            """;

    private static int[][][] table(String text) {
        return text.strip().lines()
                .map(l -> Arrays.stream(l.strip().split(" +"))
                        .map(e -> new int[] {Integer.parseInt(e.split(":")[0]), Integer.parseInt(e.split(":")[1])})
                        .toArray(int[][]::new))
                .toArray(int[][][]::new);
    }

    /// A tile in local memory whose 16-bit elements are 100, 101, ...
    private static int[] counting(int n) {
        int[] tile = new int[n / 2];
        for (int i = 0; i < n; i++)
            tile[i / 2] |= (100 + i & 0xffff) << 16 * (i & 1);
        return tile;
    }

    private static Object[] lanes(int[] tile) {
        Object[] out = new Object[32];
        Arrays.fill(out, new TensorCore.Source(tile, 0));
        return out;
    }

    @Test
    void loadsGiveEachLaneItsElements() {
        int[][][] a = table(A);
        Object[] left = TensorCore.loadA(lanes(counting(256)));
        for (int row = 0; row < 16; row++)
            for (int c = 0; c < 16; c++)
                assertThat(((HalfFloat[]) left[a[row][c][0]])[a[row][c][1]].getHalfFloatValue()).as("%d,%d", row, c)
                        .isEqualTo((short) (100 + 16 * row + c));
        int[][][] b = table(B);
        Object[] right = TensorCore.loadB(lanes(counting(128)));
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++)
                assertThat(((HalfFloat[]) right[b[k][n][0]])[b[k][n][1]].getHalfFloatValue()).as("%d,%d", k, n)
                        .isEqualTo((short) (100 + 8 * k + n));
    }

    /// One element of A and one of B are 1, all others 0: one element of D is 1, in the lane that the table says.
    @Test
    void productsComeFromTheElementsThatTheTablesName() {
        int[][][] a = table(A);
        int[][][] b = table(B);
        int[][][] c = table(C);
        for (int[] z : new int[][] {{0, 0, 0}, {3, 5, 1}, {9, 2, 7}, {15, 15, 6}, {8, 11, 3}, {7, 8, 2}}) {
            HalfFloat[][] left = zeros(8);
            HalfFloat[][] right = zeros(4);
            HalfFloat one = new HalfFloat(BFloat16.bf16FromFloat(1f));
            left[a[z[0]][z[1]][0]][a[z[0]][z[1]][1]] = one;
            right[b[z[1]][z[2]][0]][b[z[1]][z[2]][1]] = one;
            Object[] lanes = new Object[32];
            for (int l = 0; l < 32; l++)
                lanes[l] = new TensorCore.Factors(left[l], right[l], TensorCore.fragment(0.25f));
            Object[] d = TensorCore.multiply(lanes, x -> BFloat16.bf16ToFloat(x.getHalfFloatValue()));
            for (int row = 0; row < 16; row++)
                for (int n = 0; n < 8; n++)
                    assertThat(TensorCore.element((float[]) d[c[row][n][0]], c[row][n][1]))
                            .isEqualTo(row == z[0] && n == z[2] ? 1.25f : 0.25f);
        }
    }

    private static HalfFloat[][] zeros(int elements) {
        HalfFloat[][] out = new HalfFloat[32][elements];
        for (HalfFloat[] lane : out)
            Arrays.fill(lane, new HalfFloat((short) 0));
        return out;
    }

    /// `c = a b + 1` with a (16,16), b (16,8) of whole numbers: from the second of two tiles in local memory.
    static void product(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        int[] tile = context.allocateIntLocalArray(2 * 128 + 64);
        int lane = context.localIdx & 31;
        for (int i = context.localIdx; i < 128; i += 64) {
            int lo = BFloat16.bf16FromFloat(a.get(2 * i)) & 0xffff;
            tile[128 + i] = lo | BFloat16.bf16FromFloat(a.get(2 * i + 1)) << 16;
        }
        int own = context.localIdx;
        // the rows of b from bottom to top, which an offset of each lane's own corrects
        int to = 256 + (15 - (own >> 2)) * 4 + (own & 3);
        tile[to] = BFloat16.bf16FromFloat(b.get(2 * own)) & 0xffff | BFloat16.bf16FromFloat(b.get(2 * own + 1)) << 16;
        context.localBarrier();
        HalfFloat[] left = context.mmaLoadA(tile, 16, 512);
        int row = lane & 15;
        HalfFloat[] right = context.mmaLoadB(tile, 16, 1024 + 16 * (15 - row - row));
        float[] sum = context.mmaBF16(left, right, context.mmaFragment(1f), MMAShape.M16N8K16);
        context.mmaStore(sum, c, 0, 8 * (context.localIdx >> 5), 16);
    }

    @Test
    void twoWarpsMultiplyTiles() {
        FloatArray a = new FloatArray(256);
        FloatArray b = new FloatArray(128);
        FloatArray c = new FloatArray(256);
        for (int i = 0; i < 256; i++)
            a.set(i, i % 2 == 0 ? i : -i);
        for (int i = 0; i < 128; i++)
            b.set(i, i);
        run(TensorCoreTest::product, a, b, c, 64);
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++) {
                float sum = 1;
                for (int k = 0; k < 16; k++)
                    sum += a.get(16 * i + k) * b.get(8 * k + j % 8);
                assertThat(c.get(16 * i + j)).as("%d,%d", i, j).isEqualTo(sum);
            }
    }

    private static void run(Task4<KernelContext, FloatArray, FloatArray, FloatArray> kernel, FloatArray a, FloatArray b,
            FloatArray c, int items) {
        WorkerGrid1D grid = new WorkerGrid1D(items);
        grid.setLocalWork(items, 1, 1);
        TaskGraph g = new TaskGraph("g").transferToDevice(EVERY_EXECUTION, a, b, c)
                .task("t", kernel, new KernelContext(), a, b, c).transferToHost(EVERY_EXECUTION, c);
        new TornadoExecutionPlan(g.snapshot()).withGridScheduler(new GridScheduler("g.t", grid)).execute();
    }

    static void withoutTheLastLane(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        int[] tile = context.allocateIntLocalArray(128);
        if (context.localIdx != 31)
            c.set(0, context.mmaLoadA(tile, 16).length);
        context.localBarrier();
        a.set(0, b.get(0));
    }

    static void halfTheWarpLoadsAnother(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        int[] tile = context.allocateIntLocalArray(128);
        if (context.localIdx < 16)
            c.set(0, context.mmaLoadA(tile, 16).length);
        else
            a.set(0, context.mmaLoadB(tile, 16).length);
        c.set(1, b.get(0));
    }

    static void between(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        int[] tile = context.allocateIntLocalArray(128);
        a.set(0, b.get(0));
        c.set(0, context.mmaLoadA(tile, 16, 8).length);
    }

    static void beyond(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        int[] tile = context.allocateIntLocalArray(128);
        a.set(0, b.get(0));
        c.set(0, context.mmaLoadB(tile, 16, 272).length);
    }

    static void looksInside(KernelContext context, FloatArray a, FloatArray b, FloatArray c) {
        a.set(0, b.get(0));
        c.set(context.localIdx, context.mmaFragment(2f)[1]);
    }

    @Test
    void whatADeviceWouldComputeWronglyIsAnError() {
        FloatArray x = new FloatArray(64);
        FloatArray y = new FloatArray(64);
        FloatArray z = new FloatArray(64);
        assertThatThrownBy(() -> run(TensorCoreTest::withoutTheLastLane, x, y, z, 32))
                .hasMessageContaining("only 31 of the 32 lanes of a warp take part in an instruction");
        assertThatThrownBy(() -> run(TensorCoreTest::halfTheWarpLoadsAnother, x, y, z, 32))
                .hasMessageContaining("lanes of one warp are at mmaLoad");
        assertThatThrownBy(() -> run(TensorCoreTest::between, x, y, z, 32)).hasMessageContaining("multiples of 16");
        assertThatThrownBy(() -> run(TensorCoreTest::beyond, x, y, z, 32))
                .hasMessageContaining("of a local array of 512 bytes");
        assertThatThrownBy(() -> run(TensorCoreTest::beyond, x, y, z, 16)).hasMessageContaining("multiple of 32");
        run(TensorCoreTest::looksInside, x, y, z, 32);
        assertThat(z.get(3)).isNaN();
    }

    @Test
    void aStoreBothReadsAndWritesItsMatrix() {
        KernelCode code = KernelCode.of(TensorCoreTest.class, "product", "(Luk/ac/manchester/tornado/api/KernelContext;"
                + ARRAYS + "FloatArray;" + ARRAYS + "FloatArray;" + ARRAYS + "FloatArray;)V");
        assertThat(code.access(1)).isEqualTo(KernelCode.Access.READ);
        assertThat(code.access(3)).isEqualTo(KernelCode.Access.READ_WRITE);
    }

    @Test
    void brainFloatsAreTheNearestTiesToEven() {
        float[] x = {1f, 1.00390625f, 1.01171875f, -1.0039064f, 3.4e38f, Float.NaN, 0x1p-140f};
        float[] rounded = {1f, 1f, 1.015625f, -1.0078125f, Float.POSITIVE_INFINITY, Float.NaN, 0x1p-133f * 0};
        for (int i = 0; i < x.length; i++)
            assertThat(Float.floatToIntBits(BFloat16.bf16ToFloat(BFloat16.bf16FromFloat(x[i]))))
                    .isEqualTo(Float.floatToIntBits(rounded[i]));
    }
}
