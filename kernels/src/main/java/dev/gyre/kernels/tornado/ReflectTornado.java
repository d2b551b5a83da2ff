package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/// Lowering of [dev.gyre.kernels.op.ReflectOps].
final class ReflectTornado extends OpLowering {
    ReflectTornado(TaskGraphs tasks, DeviceMemory memory, Choice choice) {
        super(tasks, memory, choice);
    }

    void lower(ReflectOps op) {
        switch (op) {
            case ReflectOps.HouseholderVectors o -> {
                Floats p = f(o.p());
                Floats u = f(o.u());
                if (o.gramSchmidt())
                    tasks.task("gramSchmidt", items(1), ReflectKernels::gramSchmidt, p.array(), u.array(),
                            at(p.at(), u.at()), o.d(), o.r());
                else
                    tasks.task("unitVectors", items(o.r()), ReflectKernels::unitVectors, p.array(), u.array(),
                            at(p.at(), u.at()), o.d(), o.r());
            }
            case ReflectOps.HouseholderVectorsGrad o -> householderVectorsGrad(o);
            case ReflectOps.Householder o -> reflections(f(o.x()), f(o.y()), f(o.u()), o.N(), o.d(), o.r());
            case ReflectOps.HouseholderGrad o -> householderGrad(o);
        }
    }

    private void householderVectorsGrad(ReflectOps.HouseholderVectorsGrad o) {
        Floats p = f(o.p());
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats dP = f(o.dP());
        if (!o.gramSchmidt()) {
            tasks.task("unitVectorsGrad", items(o.r()), ReflectKernels::unitVectorsGrad, p.array(), u.array(),
                    dU.array(), dP.array(), at(p.at(), u.at(), dU.at(), dP.at()), o.d(), o.r());
            return;
        }
        FloatArray upper = memory.scratch((long) o.r() * o.r());
        FloatArray inner = memory.scratch((long) o.r() * o.r());
        FloatArray solved = memory.scratch((long) o.r() * o.d());
        tasks.task("innerProducts", items(o.r() * o.r()), ReflectKernels::innerProducts, u.array(), p.array(), upper,
                at(u.at(), p.at()), o.d(), o.r(), 1);
        tasks.task("innerProducts", items(o.r() * o.r()), ReflectKernels::innerProducts, u.array(), dU.array(), inner,
                at(u.at(), dU.at()), o.d(), o.r(), 0);
        tasks.task("gramSchmidtGrad", items(o.d()), ReflectKernels::gramSchmidtGrad, u.array(), dU.array(), upper,
                inner, solved, dP.array(), at(u.at(), dU.at(), dP.at()), o.d(), o.r());
    }

    /// Backward through the reflections, the last one first. A reflection is its own inverse, so its input is its output
    /// reflected again.
    private void householderGrad(ReflectOps.HouseholderGrad o) {
        int n = o.N() * o.d();
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats z = scratch(n);
        Floats dZ = scratch(n);
        FloatArray alongZ = memory.scratch(o.N());
        FloatArray alongG = memory.scratch(o.N());
        reflections(f(o.x()), z, u, o.N(), o.d(), o.r());
        copy(f(o.dY()), dZ, n);
        for (int i = 0; i < o.r(); i++) {
            rowInner(z, u, i, alongZ, o.N(), o.d());
            reflect(z, u, i, alongZ, o.N(), o.d());
            rowInner(z, u, i, alongZ, o.N(), o.d());
            rowInner(dZ, u, i, alongG, o.N(), o.d());
            tasks.task("reflectionGrad", items(o.d()), ReflectKernels::reflectionGrad, z.array(), dZ.array(), alongZ,
                    alongG, dU.array(), at(dU.at() + i * o.d()), o.N(), o.d());
            reflect(dZ, u, i, alongG, o.N(), o.d());
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }

    private void reflections(Floats x, Floats y, Floats u, int N, int d, int r) {
        FloatArray along = memory.scratch(N);
        copy(x, y, N * d);
        for (int i = r - 1; i >= 0; i--) {
            rowInner(y, u, i, along, N, d);
            reflect(y, u, i, along, N, d);
        }
    }

    private void rowInner(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        tasks.task("rowInner", items(N), ReflectKernels::rowInner, z.array(), u.array(), along,
                at(z.at(), u.at() + i * d), N, d);
    }

    private void reflect(Floats z, Floats u, int i, FloatArray along, int N, int d) {
        tasks.task("reflect", items(N * d), ReflectKernels::reflect, z.array(), u.array(), along,
                at(z.at(), u.at() + i * d), N, d);
    }
}
