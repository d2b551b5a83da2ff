package dev.gyre.tornadojvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static uk.ac.manchester.tornado.api.enums.DataTransferMode.EVERY_EXECUTION;
import static uk.ac.manchester.tornado.api.enums.DataTransferMode.FIRST_EXECUTION;
import static uk.ac.manchester.tornado.api.enums.DataTransferMode.UNDER_DEMAND;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.ImmutableTaskGraph;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.common.Access;
import uk.ac.manchester.tornado.api.common.LibraryTaskDescriptor;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

class StandInTest {
    private static final int N = 6;

    private static FloatArray counting() {
        return FloatArray.fromElements(0, 1, 2, 3, 4, 5);
    }

    @Test
    void resultsAreInvisibleUntilTheyAreTransferred() {
        FloatArray x = counting();
        FloatArray y = new FloatArray(N);
        TaskGraph g = new TaskGraph("g").transferToDevice(FIRST_EXECUTION, x)
                .task("scale", Programs::scale, x, y, 2f, N).transferToHost(UNDER_DEMAND, y);
        var result = new TornadoExecutionPlan(g.snapshot()).execute();
        assertThat(y.toHeapArray()).containsOnly(0f);
        result.transferToHost(y);
        assertThat(y.toHeapArray()).containsExactly(0, 2, 4, 6, 8, 10);
    }

    @Test
    void everyExecutionTransfersTheInputAgainAndFirstExecutionDoesNot() {
        for (int mode : new int[] {FIRST_EXECUTION, EVERY_EXECUTION}) {
            FloatArray x = counting();
            FloatArray y = new FloatArray(N);
            TornadoExecutionPlan plan = new TornadoExecutionPlan(new TaskGraph("g").transferToDevice(mode, x)
                    .task("scale", Programs::scale, x, y, 1f, N).transferToHost(EVERY_EXECUTION, y).snapshot());
            plan.execute();
            x.set(1, 100f);
            plan.execute();
            assertThat(y.get(1)).isEqualTo(mode == FIRST_EXECUTION ? 1f : 100f);
        }
    }

    @Test
    void anArrayThatIsOnlyWrittenIsNeverUploaded() {
        FloatArray y = counting();
        new TornadoExecutionPlan(new TaskGraph("g").transferToDevice(EVERY_EXECUTION, y)
                .task("half", Programs::everySecond, y, N).transferToHost(EVERY_EXECUTION, y).snapshot()).execute();
        assertThat(y.toHeapArray()).containsExactly(1, Float.NaN, 1, Float.NaN, 1, Float.NaN);
    }

    @Test
    void readingWhatNobodyTransferredIsAnError() {
        FloatArray x = counting();
        FloatArray y = new FloatArray(N);
        TornadoExecutionPlan plan = new TornadoExecutionPlan(
                new TaskGraph("g").task("scale", Programs::scale, x, y, 1f, N).snapshot());
        assertThatThrownBy(plan::execute).isInstanceOf(TornadoRuntimeException.class)
                .hasMessageContaining("neither transfers nor consumes nor writes");
    }

    @Test
    void aGraphTakesOverOnlyFromTheGraphBeforeIt() {
        FloatArray x = counting();
        FloatArray other = counting();
        TaskGraph a = new TaskGraph("a").transferToDevice(FIRST_EXECUTION, x).task("t", Programs::increment, x, N)
                .persistOnDevice(x);
        TaskGraph b = new TaskGraph("b").consumeFromDevice(x).task("t", Programs::increment, x, N).persistOnDevice(x)
                .transferToHost(EVERY_EXECUTION, x);
        TaskGraph stranger = new TaskGraph("c").transferToDevice(FIRST_EXECUTION, other).task("t",
                Programs::increment, other, N);
        TornadoExecutionPlan plan = new TornadoExecutionPlan(a.snapshot(), b.snapshot(), stranger.snapshot());
        assertThatThrownBy(() -> plan.withGraph(1).execute()).hasMessageContaining("runs first");
        plan.withGraph(0).execute();
        plan.withGraph(1).execute();
        plan.withGraph(0).execute();
        plan.withGraph(1).execute();
        assertThat(x.get(0)).isEqualTo(4f);
        plan.withGraph(2).execute();
        assertThatThrownBy(() -> plan.withGraph(1).execute()).isInstanceOf(TornadoRuntimeException.class)
                .hasMessageContaining("did not leave on the device");
    }

    @Test
    void aNamedSourceHasToBeTheGraphBefore() {
        FloatArray x = counting();
        TaskGraph a = new TaskGraph("a").transferToDevice(FIRST_EXECUTION, x).task("t", Programs::increment, x, N)
                .persistOnDevice(x);
        TaskGraph b = new TaskGraph("b").consumeFromDevice("z", x).task("t", Programs::increment, x, N);
        TornadoExecutionPlan plan = new TornadoExecutionPlan(a.snapshot(), b.snapshot());
        assertThatThrownBy(plan::execute).hasMessageContaining("consumes an array of z");
    }

    @Test
    void taskNamesAreUniqueAndArgumentsAreArraysOrNumbers() {
        FloatArray x = counting();
        TaskGraph g = new TaskGraph("g").task("t", Programs::increment, x, N);
        assertThatThrownBy(() -> g.task("t", Programs::increment, x, N)).hasMessageContaining("two tasks are named t");
        assertThatThrownBy(() -> g.task("u", StandInTest::flagged, x, true)).hasMessageContaining("argument 1");
        assertThatThrownBy(() -> g.transferToDevice(FIRST_EXECUTION, 3)).hasMessageContaining("not a device array");
    }

    @Test
    void tasksOfOneNameInSeveralGraphsNeedTheSameNumbers() {
        FloatArray x = new FloatArray(4);
        FloatArray y = new FloatArray(4);
        assertThatThrownBy(() -> new TornadoExecutionPlan(scaling(x, y, 2f), scaling(x, y, 3f)))
                .hasMessageContaining("[FloatArray, FloatArray, 2.0, 4]").hasMessageContaining("3.0");
        new TornadoExecutionPlan(scaling(x, y, 2f), scaling(y, x, 2f));
    }

    private static ImmutableTaskGraph scaling(FloatArray x, FloatArray y, float a) {
        return new TaskGraph("same").transferToDevice(EVERY_EXECUTION, x)
                .task("scale", Programs::scale, x, y, a, 4).snapshot();
    }

    @Test
    void aGraphHasRoomForSomeTasks() {
        FloatArray x = counting();
        TaskGraph g = new TaskGraph("g");
        for (int i = 0; i < 8192 / 25; i++)
            g.task("t" + i, Programs::increment, x, N);
        assertThatThrownBy(() -> g.task("one more", Programs::increment, x, N)).hasMessageContaining("too many tasks");
    }

    private static void flagged(FloatArray x, Boolean flag) {
        x.set(0, flag ? 1f : 0f);
    }

    @Test
    void workGroupsShareMemoryAndMeetAtBarriers() {
        FloatArray x = new FloatArray(64);
        for (int i = 0; i < 64; i++)
            x.set(i, i);
        FloatArray sums = new FloatArray(4);
        WorkerGrid1D grid = new WorkerGrid1D(64);
        grid.setLocalWork(16, 1, 1);
        groups(x, sums, grid).execute();
        assertThat(sums.toHeapArray()).containsExactly(120, 376, 632, 888);
    }

    @Test
    void aGridHasToExistAndToConsistOfWholeGroups() {
        FloatArray x = new FloatArray(64);
        FloatArray sums = new FloatArray(4);
        WorkerGrid1D uneven = new WorkerGrid1D(63);
        uneven.setLocalWork(16, 1, 1);
        TornadoExecutionPlan plan = groups(x, sums, uneven);
        assertThatThrownBy(plan::execute).hasMessageContaining("not a multiple");
        TaskGraph g = new TaskGraph("g").transferToDevice(EVERY_EXECUTION, x).task("sums", Programs::groupSums,
                new KernelContext(), x, sums, 16);
        assertThatThrownBy(new TornadoExecutionPlan(g.snapshot())::execute).hasMessageContaining("no worker grid");
        assertThatThrownBy(() -> groups(x, sums, uneven).withGridScheduler(new GridScheduler("g.other", uneven)))
                .hasMessageContaining("names no task");
    }

    /// TornadoVM's loop over work items steps by their number, in `int`.
    @Test
    void aLoopHasAtMostSoManyWorkItemsThatItsIndexDoesNotOverflow() {
        FloatArray x = new FloatArray(64);
        for (int items : new int[] {1 << 30, (1 << 30) + 1}) {
            TaskGraph g = new TaskGraph("g").transferToDevice(EVERY_EXECUTION, x).task("t", Programs::increment, x, 64);
            TornadoExecutionPlan plan = new TornadoExecutionPlan(g.snapshot())
                    .withGridScheduler(new GridScheduler("g.t", new WorkerGrid1D(items)));
            if (items == 1 << 30)
                plan.execute();
            else
                assertThatThrownBy(plan::execute).hasMessageContaining("1073741825 work items").hasMessageContaining(
                        "would overflow");
        }
    }

    @Test
    void aBarrierThatSomeItemsNeverReachIsAnError() {
        FloatArray x = new FloatArray(4);
        WorkerGrid1D grid = new WorkerGrid1D(4);
        grid.setLocalWork(4, 1, 1);
        TaskGraph g = new TaskGraph("g").task("t", Programs::someWait, new KernelContext(), x);
        TornadoExecutionPlan plan = new TornadoExecutionPlan(g.snapshot())
                .withGridScheduler(new GridScheduler("g.t", grid));
        assertThatThrownBy(plan::execute).hasMessageContaining("never reach");
    }

    @Test
    void aWorkGroupHasOnlySoMuchLocalMemory() {
        FloatArray x = new FloatArray(1);
        WorkerGrid1D grid = new WorkerGrid1D(1);
        grid.setLocalWork(1, 1, 1);
        TaskGraph g = new TaskGraph("g").transferToDevice(EVERY_EXECUTION, x).task("sums", Programs::groupSums,
                new KernelContext(), x, new FloatArray(1), (48 << 10) / 4 + 1);
        TornadoExecutionPlan plan = new TornadoExecutionPlan(g.snapshot())
                .withGridScheduler(new GridScheduler("g.sums", grid));
        assertThatThrownBy(plan::execute).hasMessageContaining("49156 bytes of local memory, of 49152");
    }

    private static TornadoExecutionPlan groups(FloatArray x, FloatArray sums, WorkerGrid1D grid) {
        TaskGraph g = new TaskGraph("g").transferToDevice(EVERY_EXECUTION, x)
                .task("sums", Programs::groupSums, new KernelContext(), x, sums, 16)
                .transferToHost(EVERY_EXECUTION, sums);
        return new TornadoExecutionPlan(g.snapshot()).withGridScheduler(new GridScheduler("g.sums", grid));
    }

    private static TornadoExecutionPlan poke(FloatArray x, int at, Access access) {
        IntArray offset = IntArray.fromElements(at);
        LibraryTaskDescriptor d = new LibraryTaskDescriptor().withLibrary("test/poke").withFunction("poke")
                .withParameters(new Object[] {x, offset, 7f})
                .withAccess(new Access[] {access, Access.READ_ONLY, Access.READ_ONLY});
        return new TornadoExecutionPlan(new TaskGraph("g").transferToDevice(EVERY_EXECUTION, x, offset)
                .libraryTask("poke", c -> c, d).transferToHost(EVERY_EXECUTION, x).snapshot());
    }

    @Test
    void aLibraryGetsAddressesOnTheDeviceAndTheHostsArrays() {
        FloatArray x = counting();
        poke(x, 2, Access.READ_WRITE).execute();
        assertThat(x.toHeapArray()).containsExactly(0, 1, 7, 3, 4, 5);
    }

    @Test
    void aLibraryWritesOnlyWhatItMay() {
        for (int outside : new int[] {-5, -1, N})
            assertThatThrownBy(poke(counting(), outside, Access.READ_WRITE)::execute)
                    .hasMessageContaining("poke wrote outside of an array of 6 elements, at byte " + 4 * outside);
        assertThatThrownBy(poke(counting(), 2, Access.READ_ONLY)::execute)
                .hasMessageContaining("read-only array of 6 elements");
        LibraryTaskDescriptor none = new LibraryTaskDescriptor().withLibrary("test/none");
        assertThatThrownBy(
                new TornadoExecutionPlan(new TaskGraph("g").libraryTask("t", c -> c, none).snapshot())::execute)
                .hasMessageContaining("No provider found for library `test/none`");
    }

    @Test
    void bytecodeTellsReadsFromWritesThroughHelpersAndConditions() {
        String arrays = "Luk/ac/manchester/tornado/api/types/arrays/";
        KernelCode code = KernelCode.of(Programs.class, "tangled", "(" + arrays + "FloatArray;" + arrays + "IntArray;"
                + arrays + "FloatArray;" + arrays + "FloatArray;JD)V");
        assertThat(IntStream.range(0, 6).mapToObj(code::access)).containsExactly(KernelCode.Access.READ,
                KernelCode.Access.READ,
                KernelCode.Access.WRITE, KernelCode.Access.NONE, KernelCode.Access.NONE, KernelCode.Access.NONE);
        KernelCode inPlace = KernelCode.of(Programs.class, "increment", "(" + arrays + "FloatArray;I)V");
        assertThat(inPlace.access(0)).isEqualTo(KernelCode.Access.READ_WRITE);
    }

    /// 3 nodes for each array that is moved; with the increment's task, constant and array and the device's two there is room
    /// for 338 of them. Limit and words are TornadoVM 5.2's.
    @Test
    void aGraphHas1024Nodes() {
        for (int n : new int[] {338, 339}) {
            Object[] moved = IntStream.range(0, n).mapToObj(_ -> new FloatArray(1)).toArray();
            FloatArray x = counting();
            TornadoExecutionPlan plan = new TornadoExecutionPlan(
                    new TaskGraph("g").transferToDevice(EVERY_EXECUTION, moved).transferToDevice(EVERY_EXECUTION, x)
                            .task("t", Programs::increment, x, N).persistOnDevice(moved).snapshot());
            if (n == 338)
                plan.execute();
            else
                assertThatThrownBy(plan::execute).isInstanceOf(TornadoRuntimeException.class)
                        .hasMessageContaining("Tornado Graph resize not implemented yet").hasMessageContaining("1025");
        }
    }

    /// One array for each weight, activation and parameter, as a session once had: each graph passes on all of them.
    @Test
    void aGraphThatPassesOnAnArrayForEachBufferOfADeepModelFails() {
        Object[] buffers = IntStream.range(0, 32 * 32 + 20).mapToObj(_ -> new FloatArray(1)).toArray();
        FloatArray x = counting();
        TornadoExecutionPlan plan = new TornadoExecutionPlan(
                new TaskGraph("g").consumeFromDevice(buffers).transferToDevice(EVERY_EXECUTION, x)
                        .task("t", Programs::increment, x, N).persistOnDevice(buffers).snapshot());
        assertThatThrownBy(plan::execute).hasMessageContaining("Tornado Graph resize not implemented yet");
    }

    @Test
    void aTaskThatNamesAnArrayAgainAfterItWritesItWouldWaitForItself() {
        FloatArray x = counting();
        assertThatThrownBy(() -> new TaskGraph("g").task("t", Programs::addTo, x, x, N))
                .hasMessageContaining("TornadoVM would wait for ever");
        FloatArray y = new FloatArray(N);
        new TaskGraph("g").task("t", Programs::addTo, y, x, N).task("u", Programs::scale, y, y, 2f, N);
    }

    @Test
    void anArrayOnASegmentIsThatSegment() {
        MemorySegment segment =
                MemorySegment.ofArray(new float[N + (int) FloatArray.ARRAY_HEADER / Float.BYTES]);
        FloatArray x = FloatArray.fromSegmentShallow(segment);
        x.set(2, 7f);
        assertThat(x.getSize()).isEqualTo(N);
        assertThat(x.get(2)).isEqualTo(7f);
        assertThat(segment.get(ValueLayout.JAVA_FLOAT, FloatArray.ARRAY_HEADER + 2 * Float.BYTES))
                .isEqualTo(7f);
        x.init(3f);
        assertThat(x.toHeapArray()).containsOnly(3f);
    }
}
