package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.ref.RefBackend;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.RopeTable;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The reference backend with reads in double and, for a decoder, rotary tables in double, so that whole models can be held
/// against golden values of double precision.
public final class DoubleBackend implements Backend {
    private final RefBackend ref = new RefBackend();
    private final @Nullable ModelConfig config;
    RefBackend.RefSession session;
    List<Program> programs;

    /// For models other than decoders.
    public DoubleBackend() {
        config = null;
    }

    DoubleBackend(ModelConfig config) {
        this.config = config;
    }

    @Override
    public String name() {
        return ref.name();
    }

    @Override
    public String describe() {
        return ref.describe();
    }

    @Override
    public Session open(List<Program> p) {
        programs = p;
        session = ref.open(p);
        return new Session() {
            @Override
            public void bind(Buf weight, HostData data) {
                String name = weight.name();
                if (config == null || !name.startsWith("rope ")) {
                    session.bind(weight, data);
                    return;
                }
                String[] words = name.split(" ");
                ModelConfig.Rotary r =
                        config.positions().rotaries().get(words.length < 3 ? 0 : Integer.parseInt(words[2]) - 1);
                int n = RopeTable.twoSets(config, weight.dim(0) / 2) ? weight.dim(0) / 2 : weight.dim(0);
                session.bindDouble(weight, words[1].equals("cos") ? RopeTable.cosF64(config, r, n)
                        : RopeTable.sinF64(config, r, n));
            }

            @Override
            public void write(Buf buf, float[] values) {
                if (buf.name().equals("loss scale")) // 1/n of the test, not its float neighbour
                    session.writeDouble(buf, new double[] {values[0] == 0 ? 0 : 1.0 / Math.round(1 / values[0])});
                else
                    if (buf.name().equals("AdamW"))
                        session.writeDouble(buf, decimals(values));
                else
                        session.write(buf, values);
            }

            @Override
            public void write(Buf buf, int[] values) {
                session.write(buf, values);
            }

            @Override
            public void read(Buf buf, float[] into) {
                session.read(buf, into);
            }

            @Override
            public void run(Program program) {
                session.run(program);
            }

            @Override
            public long bytes() {
                return session.bytes();
            }

            @Override
            public void close() {
                session.close();
            }
        };
    }

    Buf buf(String name) {
        for (Program p : programs)
            for (Buf b : p.roots())
                if (b.name().equals(name))
                    return b;
        throw new IllegalArgumentException("no buffer " + name);
    }

    public double[] read(String name) {
        return session.readDouble(buf(name));
    }

    /// The decimal numbers a user wrote (0.002), with both corrections made of them.
    private static double[] decimals(float[] hp) {
        double[] d = new double[hp.length];
        for (int i = 0; i < d.length; i++)
            d[i] = Double.parseDouble(Float.toString(hp[i]));
        long t = Math.round(Math.log(1 - hp[4]) / Math.log(d[1]));
        d[4] = 1 - Math.pow(d[1], t);
        d[5] = 1 - Math.pow(d[2], t);
        return d;
    }
}
