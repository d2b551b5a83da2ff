package uk.ac.manchester.tornado.api;

import dev.gyre.tornadojvm.WorkItem;
import uk.ac.manchester.tornado.api.enums.MMAShape;
import uk.ac.manchester.tornado.api.types.HalfFloat;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The position of a work item in its grid, the memory that its group shares, and the barriers of the group. The object that
/// a task graph is built with holds zeros; the stand-in gives every work item one of its own.
public class KernelContext {
    public final Integer globalIdx;
    public final Integer globalIdy;
    public final Integer globalIdz;
    public final Integer groupIdx;
    public final Integer groupIdy;
    public final Integer groupIdz;
    public final Integer localIdx;
    public final Integer localIdy;
    public final Integer localIdz;
    public final Integer globalGroupSizeX;
    public final Integer globalGroupSizeY;
    public final Integer globalGroupSizeZ;
    public final Integer localGroupSizeX;
    public final Integer localGroupSizeY;
    public final Integer localGroupSizeZ;

    private final WorkItem item;

    public KernelContext() {
        this(WorkItem.NONE);
    }

    /// For the stand-in's scheduler; the SDK has no such constructor.
    public KernelContext(WorkItem item) {
        this.item = item;
        globalIdx = item.global(0);
        globalIdy = item.global(1);
        globalIdz = item.global(2);
        groupIdx = item.group(0);
        groupIdy = item.group(1);
        groupIdz = item.group(2);
        localIdx = item.local(0);
        localIdy = item.local(1);
        localIdz = item.local(2);
        globalGroupSizeX = item.globalSize(0);
        globalGroupSizeY = item.globalSize(1);
        globalGroupSizeZ = item.globalSize(2);
        localGroupSizeX = item.localSize(0);
        localGroupSizeY = item.localSize(1);
        localGroupSizeZ = item.localSize(2);
    }

    /// Waits for all work items of the group; what they wrote before is visible afterwards.
    public void localBarrier() {
        item.barrier();
    }

    public void globalBarrier() {
        item.barrier();
    }

    public float[] allocateFloatLocalArray(int size) {
        return item.floats(size);
    }

    public int[] allocateIntLocalArray(int size) {
        return item.ints(size);
    }

    public void atomicAdd(IntArray array, int index, int val) {
        synchronized (array) {
            array.set(index, array.get(index) + val);
        }
    }

    /// An accumulator of tensor-core products, all elements `v`. Kernels cannot index fragments: on a device that does not
    /// compile, and here the elements that they see are NaN.
    public float[] mmaFragment(float v) {
        return item.fragment(v);
    }

    public HalfFloat[] mmaLoadA(int[] aTile, int wmmaK) {
        return mmaLoadA(aTile, wmmaK, 0);
    }

    /// The left factor: a tile of 16 x 16 numbers of 16 bits in local memory, from a byte on, by all 32 lanes of a warp.
    public HalfFloat[] mmaLoadA(int[] aTile, int wmmaK, int byteOffset) {
        return item.loadFragment(true, aTile, wmmaK, byteOffset);
    }

    public HalfFloat[] mmaLoadB(int[] bTile, int wmmaK) {
        return mmaLoadB(bTile, wmmaK, 0);
    }

    /// The right factor: 16 x 8, row after row.
    public HalfFloat[] mmaLoadB(int[] bTile, int wmmaK, int byteOffset) {
        return item.loadFragment(false, bTile, wmmaK, byteOffset);
    }

    /// `A B + C` of FP16 factors, by all lanes of a warp.
    public float[] mma(HalfFloat[] fragA, HalfFloat[] fragB, float[] fragC, MMAShape mmaShape) {
        return item.multiplyFp16(fragA, fragB, fragC, mmaShape);
    }

    /// `A B + C` of BF16 factors, by all lanes of a warp.
    public float[] mmaBF16(HalfFloat[] fragA, HalfFloat[] fragB, float[] fragC, MMAShape mmaShape) {
        return item.multiplyBf16(fragA, fragB, fragC, mmaShape);
    }

    /// Stores this lane's part of an accumulator into a matrix with rows of `dimN` elements, from a row and a column on.
    public void mmaStore(float[] fragD, FloatArray c, int tileRow, int tileCol, int dimN) {
        item.store(fragD, c, tileRow, tileCol, dimN);
    }
}
