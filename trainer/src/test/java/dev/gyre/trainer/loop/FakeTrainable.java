package dev.gyre.trainer.loop;

import dev.gyre.model.transformer.AdamWStep;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.TrainState;
import dev.gyre.model.transformer.Trainable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Learns one number per token value: a unigram model with AdamW, sensitive to the order of batches and to all of its
/// state, so that any slip in resuming shows.
public class FakeTrainable implements Trainable<Batch> {
    private final float[] p = new float[258];
    private final float[] m = new float[258];
    private final float[] v = new float[258];
    private final float[] g = new float[258];
    private final List<float[]> held = new ArrayList<>();
    private long draws;

    @Override
    public double microBatch(Batch b, float scale) {
        draws++;
        double z = 0;
        for (float x : p)
            z += Math.exp(x);
        double sum = 0;
        for (int l : b.labels())
            if (l >= 0) {
                sum += Math.log(z) - p[l];
                for (int i = 0; i < p.length; i++)
                    g[i] += (float) (scale * (Math.exp(p[i]) / z - (i == l ? 1 : 0) + 1e-3 * draws));
            }
        return sum;
    }

    @Override
    public double update(AdamWStep s) {
        double norm = 0;
        for (int i = 0; i < p.length; i++) {
            norm += g[i] * g[i];
            m[i] = s.beta1() * m[i] + (1 - s.beta1()) * (float) g[i];
            v[i] = s.beta2() * v[i] + (1 - s.beta2()) * (float) (g[i] * g[i]);
            p[i] -= s.lr() * (m[i] / (Math.sqrt(v[i]) + s.eps()) + s.t() * 1e-5);
            g[i] = 0;
        }
        return Math.sqrt(norm);
    }

    @Override
    public void hold(int level) {
        while (held.size() <= level)
            held.add(new float[g.length]);
        held.set(level, g.clone());
        Arrays.fill(g, 0);
    }

    @Override
    public void addHeld(int level) {
        for (int i = 0; i < g.length; i++)
            g[i] += held.get(level)[i];
    }

    @Override
    public float[] gradientSum() {
        return g.clone();
    }

    @Override
    public void gradientSum(float[] sum) {
        System.arraycopy(sum, 0, g, 0, g.length);
    }

    @Override
    public void draws(long n) {
        draws = n;
    }

    @Override
    public double evaluate(Batch b) {
        double z = 0;
        for (float x : p)
            z += Math.exp(x);
        double sum = 0;
        for (int l : b.labels())
            if (l >= 0)
                sum += Math.log(z) - p[l];
        return sum;
    }

    @Override
    public TrainState state() {
        return new TrainState(p.clone(), m.clone(), v.clone());
    }

    @Override
    public long draws() {
        return draws;
    }

    @Override
    public void restore(TrainState s, long draws) {
        System.arraycopy(s.params(), 0, p, 0, p.length);
        System.arraycopy(s.m(), 0, m, 0, m.length);
        System.arraycopy(s.v(), 0, v, 0, v.length);
        this.draws = draws;
    }
}
