package dev.gyre.kernels.tornado;

import dev.gyre.kernels.tornado.TaskGraphs.Grid;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task10;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task11;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task12;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task13;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task14;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task15;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task16;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task17;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task18;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task19;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task20;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task3;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task4;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task5;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task6;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task7;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task8;
import uk.ac.manchester.tornado.api.common.TornadoFunctions.Task9;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/// The ways to call a kernel, by its number of arguments: TornadoVM has a type of function for each.
///
/// | kernel | begins with | called by |
/// |---|---|---|
/// | one work item per element | `IntArray at, int slot` | `task` |
/// | work groups with local memory | `KernelContext context, IntArray at, int slot` | `groupTask` |
///
/// The caller gives the offsets, and the arguments after `slot`. In the kernel, `at.get(slot + k)` is the k-th offset.
abstract class TaskCalls {
    /// @param code a function of TornadoVM, of `context` if it has work groups, `at`, `slot` and the arguments
    abstract void add(String kernel, Grid grid, boolean groups, Object code, int[] offsets, Object... arguments);

    /// Adds a task to a graph.
    @SuppressWarnings({"unchecked", "rawtypes"}) // a switch over twenty types
    static void add(TaskGraph g, String id, Object code, Object... x) {
        switch (x.length) {
            case 3 -> g.task(id, (Task3) code, x[0], x[1], x[2]);
            case 4 -> g.task(id, (Task4) code, x[0], x[1], x[2], x[3]);
            case 5 -> g.task(id, (Task5) code, x[0], x[1], x[2], x[3], x[4]);
            case 6 -> g.task(id, (Task6) code, x[0], x[1], x[2], x[3],
                    x[4], x[5]);
            case 7 -> g.task(id, (Task7) code, x[0], x[1], x[2],
                    x[3], x[4], x[5], x[6]);
            case 8 -> g.task(id, (Task8) code, x[0],
                    x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
            case 9 -> g.task(id, (Task9) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]);
            case 10 -> g.task(id, (Task10) code, x[0],
                    x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9]);
            case 11 -> g.task(id, (Task11) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10]);
            case 12 ->
                    g.task(id, (Task12) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11]);
            case 13 -> g.task(id, (Task13) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12]);
            case 14 -> g.task(id, (Task14) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13]);
            case 15 -> g.task(id, (Task15) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14]);
            case 16 -> g.task(id, (Task16) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14],
                    x[15]);
            case 17 -> g.task(id, (Task17) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14],
                    x[15], x[16]);
            case 18 -> g.task(id, (Task18) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14],
                    x[15], x[16], x[17]);
            case 19 -> g.task(id, (Task19) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14],
                    x[15], x[16], x[17], x[18]);
            case 20 -> g.task(id, (Task20) code, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                    x[11], x[12], x[13], x[14],
                    x[15], x[16], x[17], x[18], x[19]);
            default -> throw new IllegalArgumentException(
                    id + " has " + x.length + " arguments; TornadoVM has 20 at most");
        }
    }

    final <A1> void task(String kernel, Grid grid, Task3<IntArray, Integer, A1> code, int[] at, A1 a1) {
        add(kernel, grid, false, code, at, a1);
    }

    final <A1, A2> void task(String kernel, Grid grid, Task4<IntArray, Integer, A1, A2> code, int[] at, A1 a1, A2 a2) {
        add(kernel, grid, false, code, at, a1, a2);
    }

    final <A1, A2, A3> void task(String kernel, Grid grid, Task5<IntArray, Integer, A1, A2, A3> code, int[] at, A1 a1,
            A2 a2, A3 a3) {
        add(kernel, grid, false, code, at, a1, a2, a3);
    }

    final <A1, A2, A3, A4> void task(String kernel, Grid grid, Task6<IntArray, Integer, A1, A2, A3, A4> code, int[] at,
            A1 a1, A2 a2, A3 a3, A4 a4) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4);
    }

    final <A1, A2, A3, A4, A5> void task(String kernel, Grid grid, Task7<IntArray, Integer, A1, A2, A3, A4, A5> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5);
    }

    final <A1, A2, A3, A4, A5, A6> void task(String kernel, Grid grid,
            Task8<IntArray, Integer, A1, A2, A3, A4, A5, A6> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6);
    }

    final <A1, A2, A3, A4, A5, A6, A7> void task(String kernel, Grid grid,
            Task9<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5,
            A6 a6, A7 a7) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8> void task(String kernel, Grid grid,
            Task10<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5,
            A6 a6, A7 a7, A8 a8) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9> void task(String kernel, Grid grid,
            Task11<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4,
            A5 a5, A6 a6, A7 a7, A8 a8, A9 a9) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> void task(String kernel, Grid grid,
            Task12<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> code, int[] at, A1 a1, A2 a2, A3 a3,
            A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> void task(String kernel, Grid grid,
            Task13<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> code, int[] at, A1 a1, A2 a2, A3 a3,
            A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> void task(String kernel, Grid grid,
            Task14<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> code, int[] at, A1 a1, A2 a2,
            A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> void task(String kernel, Grid grid,
            Task15<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> code, int[] at, A1 a1,
            A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> void task(String kernel, Grid grid,
            Task16<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> code, int[] at,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15> void task(String kernel, Grid grid,
            Task17<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15> code, int[] at,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13, A14 a14,
            A15 a15) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> void task(String kernel, Grid grid,
            Task18<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> void task(String kernel,
            Grid grid,
            Task19<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16, A17 a17) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, A18> void task(String kernel,
            Grid grid,
            Task20<IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17, A18> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16, A17 a17, A18 a18) {
        add(kernel, grid, false, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17,
                a18);
    }

    final <A1> void groupTask(String kernel, Grid grid, Task4<KernelContext, IntArray, Integer, A1> code, int[] at,
            A1 a1) {
        add(kernel, grid, true, code, at, a1);
    }

    final <A1, A2> void groupTask(String kernel, Grid grid, Task5<KernelContext, IntArray, Integer, A1, A2> code,
            int[] at, A1 a1, A2 a2) {
        add(kernel, grid, true, code, at, a1, a2);
    }

    final <A1, A2, A3> void groupTask(String kernel, Grid grid,
            Task6<KernelContext, IntArray, Integer, A1, A2, A3> code, int[] at, A1 a1, A2 a2, A3 a3) {
        add(kernel, grid, true, code, at, a1, a2, a3);
    }

    final <A1, A2, A3, A4> void groupTask(String kernel, Grid grid,
            Task7<KernelContext, IntArray, Integer, A1, A2, A3, A4> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4);
    }

    final <A1, A2, A3, A4, A5> void groupTask(String kernel, Grid grid,
            Task8<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4,
            A5 a5) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5);
    }

    final <A1, A2, A3, A4, A5, A6> void groupTask(String kernel, Grid grid,
            Task9<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6> code, int[] at, A1 a1, A2 a2, A3 a3, A4 a4,
            A5 a5, A6 a6) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6);
    }

    final <A1, A2, A3, A4, A5, A6, A7> void groupTask(String kernel, Grid grid,
            Task10<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7> code, int[] at, A1 a1, A2 a2, A3 a3,
            A4 a4, A5 a5, A6 a6, A7 a7) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8> void groupTask(String kernel, Grid grid,
            Task11<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8> code, int[] at, A1 a1, A2 a2,
            A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9> void groupTask(String kernel, Grid grid,
            Task12<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9> code, int[] at, A1 a1, A2 a2,
            A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> void groupTask(String kernel, Grid grid,
            Task13<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10> code, int[] at, A1 a1,
            A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> void groupTask(String kernel, Grid grid,
            Task14<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11> code, int[] at,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> void groupTask(String kernel, Grid grid,
            Task15<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12> code, int[] at,
            A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> void groupTask(String kernel, Grid grid,
            Task16<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12,
            A13 a13) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> void groupTask(String kernel, Grid grid,
            Task17<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15> void groupTask(String kernel, Grid grid,
            Task18<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> void groupTask(String kernel,
            Grid grid,
            Task19<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16);
    }

    final <A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> void groupTask(String kernel,
            Grid grid,
            Task20<KernelContext, IntArray, Integer, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17> code,
            int[] at, A1 a1, A2 a2, A3 a3, A4 a4, A5 a5, A6 a6, A7 a7, A8 a8, A9 a9, A10 a10, A11 a11, A12 a12, A13 a13,
            A14 a14, A15 a15, A16 a16, A17 a17) {
        add(kernel, grid, true, code, at, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17);
    }
}
