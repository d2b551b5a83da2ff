package dev.gyre.kernels.tornado;

import static dev.gyre.kernels.tornado.TaskGraphs.items;

import dev.gyre.kernels.op.ReflectOps;
import dev.gyre.kernels.tornado.DeviceMemory.Floats;
import dev.gyre.kernels.tornado.Lowering.Choice;

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
                    tasks.task("gramSchmidt", items(1), ReflectKernels::gramSchmidt, at(p.at(), u.at()), p.array(),
                            u.array(), o.d(), o.r());
                else
                    tasks.task("unitVectors", items(o.r()), ReflectKernels::unitVectors, at(p.at(), u.at()), p.array(),
                            u.array(), o.d(), o.r());
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
            tasks.task("unitVectorsGrad", items(o.r()), ReflectKernels::unitVectorsGrad,
                    at(p.at(), u.at(), dU.at(), dP.at()), p.array(), u.array(), dU.array(), dP.array(), o.d(), o.r());
            return;
        }
        Floats upper = scratch((long) o.r() * o.r());
        Floats inner = scratch((long) o.r() * o.r());
        Floats solved = scratchApart((long) o.r() * o.d(), dP);
        tasks.task("innerProducts", items(o.r() * o.r()), ReflectKernels::innerProducts, at(u.at(), p.at(), upper.at()),
                u.array(), p.array(), upper.array(), o.d(), o.r(), 1);
        tasks.task("innerProducts", items(o.r() * o.r()), ReflectKernels::innerProducts,
                at(u.at(), dU.at(), inner.at()), u.array(), dU.array(), inner.array(), o.d(), o.r(), 0);
        tasks.task("gramSchmidtGrad", items(o.d()), ReflectKernels::gramSchmidtGrad,
                at(u.at(), dU.at(), upper.at(), inner.at(), solved.at(), dP.at()), u.array(), dU.array(), upper.array(),
                inner.array(), solved.array(), dP.array(), o.d(), o.r());
    }

    /// Backward through the reflections, the last one first. A reflection is its own inverse, so its input is its output
    /// reflected again.
    private void householderGrad(ReflectOps.HouseholderGrad o) {
        int n = o.N() * o.d();
        Floats u = f(o.u());
        Floats dU = f(o.dU());
        Floats z = scratch(n);
        Floats dZ = scratch(n);
        Floats alongZ = scratch(o.N());
        Floats alongG = scratch(o.N());
        reflections(f(o.x()), z, u, o.N(), o.d(), o.r());
        copy(f(o.dY()), dZ, n);
        for (int i = 0; i < o.r(); i++) {
            rowInner(z, u, i, alongZ, o.N(), o.d());
            reflect(z, u, i, alongZ, o.N(), o.d());
            rowInner(z, u, i, alongZ, o.N(), o.d());
            rowInner(dZ, u, i, alongG, o.N(), o.d());
            tasks.task("reflectionGrad", items(o.d()), ReflectKernels::reflectionGrad,
                    at(z.at(), dZ.at(), alongZ.at(), alongG.at(), dU.at() + i * o.d()), z.array(), dZ.array(),
                    alongZ.array(), alongG.array(), dU.array(), o.N(), o.d());
            reflect(dZ, u, i, alongG, o.N(), o.d());
        }
        into(dZ, f(o.dX()), n, o.accumulate());
    }

    private void reflections(Floats x, Floats y, Floats u, int N, int d, int r) {
        Floats along = scratch(N);
        copy(x, y, N * d);
        for (int i = r - 1; i >= 0; i--) {
            rowInner(y, u, i, along, N, d);
            reflect(y, u, i, along, N, d);
        }
    }

    private void rowInner(Floats z, Floats u, int i, Floats along, int N, int d) {
        tasks.task("rowInner", items(N), ReflectKernels::rowInner, at(z.at(), u.at() + i * d, along.at()), z.array(),
                u.array(), along.array(), N, d);
    }

    private void reflect(Floats z, Floats u, int i, Floats along, int N, int d) {
        tasks.task("reflect", items(N * d), ReflectKernels::reflect, at(u.at() + i * d, along.at(), z.at()), u.array(),
                along.array(), z.array(), N, d);
    }
}
