package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.weights.Site;
import dev.gyre.model.weights.Sites;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// One linear layer of d features, frozen or with an adapter, emitted as in a model: forward and backward of N tokens.
final class Layer implements AutoCloseable {
    private static final String PATH = "layer";

    private final Session session;
    private final Program program;
    private final long bytes;
    private final long trainable;

    /// @param options the adapter, whose targets match a module called `layer`; null for the frozen layer
    Layer(Backend backend, @Nullable AdapterOptions options, int d, int N) {
        float[] w = normal(d * d, 0.02, 1);
        One one = new One(new Site(PATH, d, d, false), new HostData.F32(w));
        Adapter adapter = options == null ? null : Adapter.create(options, one, 1);
        Buffers store = new Buffers(one, adapter == null ? List.of() : adapter.tensors());
        Buf x = Buf.input("x", DType.F32, N, d);
        Buf dY = Buf.input("dY", DType.F32, N, d);
        Emitter e = new Emitter(PATH, store, true);
        AdaptedLinear linear =
                new AdaptedLinear(store, PATH, d, d, false, adapter == null ? List.of() : adapter.modules());
        linear.forward(e, x, Buf.output("y", N, d), N);
        linear.backward(e, x, dY, Buf.output("dX", N, d), false, N);
        this.program = e.build();
        this.trainable = store.size();
        MemoryPlan plan = MemoryPlan.of(List.of(program));
        this.bytes = plan.bytes();
        this.session = backend.open(List.of(program));
        store.fill(session, plan);
        session.write(x, normal(N * d, 1, 2));
        session.write(dY, normal(N * d, 1, 3));
    }

    void run() {
        session.run(program);
    }

    long bytes() {
        return bytes;
    }

    long trainable() {
        return trainable;
    }

    @Override
    public void close() {
        session.close();
    }

    private static float[] normal(int n, double std, long seed) {
        Random random = new Random(seed);
        float[] a = new float[n];
        for (int i = 0; i < n; i++)
            a[i] = (float) (std * random.nextGaussian());
        return a;
    }

    private record One(Site site, HostData weight) implements Sites, Buffers.Source {
        @Override
        public List<Site> linears() {
            return List.of(site);
        }

        @Override
        public Site embedding() {
            return new Site("embedding", 1, 1, false);
        }

        @Override
        public HostData data(String name) {
            return weight;
        }

        @Override
        public int[] dims(String name) {
            return new int[] {site.out(), site.in()};
        }
    }
}
