package dev.gyre.model.adapter.adalora;

import dev.gyre.model.adapter.StepHook;
import dev.gyre.model.emit.Tensor;
import java.util.Arrays;
import java.util.List;

/// Chooses after each step which directions of all modules together take part, and sets E of the others to 0 (AdaLoRA,
/// section 3.3, as PEFT computes it).
///
/// Importance of an element w with gradient g, over the steps: `S <- beta1 S + (1 - beta1) |w g|`,
/// `U <- beta2 U + (1 - beta2) ||w g| - S|`, score `S U`. A direction's score is that of its E plus the means of those of
/// its row of A and its column of B. The budget falls from all directions to `targetR` a module by the cube of the share
/// of the steps that is left. A masked direction keeps its gradient: it may win again until the choice is final.
final class RankAllocator implements StepHook {
    private final AdaLora options;
    private final List<AdaLoraLayer> layers;
    private final long end;
    private final int directions;
    private final double[] sensitivity;
    private final double[] uncertainty;
    /// Directions that took part after the last choice, by module; empty before the first.
    private boolean[] chosen = {};

    RankAllocator(AdaLora options, List<AdaLoraLayer> layers) {
        this.options = options;
        this.layers = List.copyOf(layers);
        Long steps = options.steps();
        if (steps == null)
            throw new IllegalArgumentException("adalora: the length of the run is not known");
        this.end = steps - options.tfinal();
        this.directions = layers.stream().mapToInt(AdaLoraLayer::rank).sum();
        int n = layers.stream().flatMap(l -> l.tensors().stream()).mapToInt(Tensor::size).sum();
        this.sensitivity = new double[n];
        this.uncertainty = new double[n];
    }

    /// Directions that take part after step t, before ties.
    int budget(long t) {
        int target = options.targetR() * layers.size();
        if (t <= options.tinit())
            return directions;
        if (t >= end)
            return target;
        double left = 1 - (double) (t - options.tinit()) / (end - options.tinit());
        return (int) ((directions - target) * (left * left * left) + target);
    }

    @Override
    public boolean afterStep(long t, Values parameters, Values gradients, double clip) {
        if (t < end)
            observe(parameters, gradients, clip);
        if (t == end || t < end && t > options.tinit() && t % options.deltaT() == 0) {
            choose(parameters, directions - budget(t));
            layers.forEach(AdaLoraLayer::allotted);
        } else
            if (t < end || chosen.length == 0)
                return false;
        mask(parameters);
        return true;
    }

    private void observe(Values parameters, Values gradients, double clip) {
        float[] w = parameters.all();
        float[] g = gradients.all();
        double b1 = options.beta1();
        double b2 = options.beta2();
        int k = 0;
        for (AdaLoraLayer l : layers)
            for (Tensor x : l.tensors()) {
                int at = parameters.offset(x);
                for (int i = 0; i < x.size(); i++, k++) {
                    double importance = Math.abs((double) w[at + i] * (clip * g[at + i]));
                    sensitivity[k] = b1 * sensitivity[k] + (1 - b1) * importance;
                    uncertainty[k] = b2 * uncertainty[k] + (1 - b2) * Math.abs(importance - sensitivity[k]);
                }
            }
    }

    /// Scores of all directions, module by module.
    double[] scores() {
        double[] out = new double[directions];
        int first = 0;
        int k = 0;
        for (AdaLoraLayer l : layers) {
            int r = l.rank();
            int in = r == 0 ? 0 : l.a().size() / r;
            int rows = r == 0 ? 0 : l.b().size() / r;
            for (int i = 0; i < r; i++) {
                double ofA = 0;
                for (int j = 0; j < in; j++)
                    ofA += score(k + i * in + j);
                double ofB = 0;
                for (int o = 0; o < rows; o++)
                    ofB += score(k + r * in + o * r + i);
                out[first + i] = score(k + r * in + rows * r + i) + (ofA / in + ofB / rows);
            }
            first += r;
            k += r * (in + rows + 1);
        }
        return out;
    }

    private double score(int k) {
        return sensitivity[k] * uncertainty[k];
    }

    /// Takes out the `n` lowest scores, and whatever ties with the highest of them.
    private void choose(Values parameters, int n) {
        double[] scores = scores();
        double[] sorted = scores.clone();
        Arrays.sort(sorted);
        double threshold = n > 0 ? sorted[n - 1] : -1;
        chosen = new boolean[directions];
        for (int i = 0; i < directions; i++)
            chosen[i] = scores[i] > threshold;
    }

    private void mask(Values parameters) {
        int i = 0;
        for (AdaLoraLayer l : layers) {
            int at = parameters.offset(l.e());
            for (int j = 0; j < l.rank(); j++, i++)
                if (!chosen[i])
                    parameters.all()[at + j] = 0;
        }
    }

    /// S, U, and the chosen directions as 1 and 0.
    @Override
    public double[] state() {
        int n = sensitivity.length;
        double[] out = Arrays.copyOf(sensitivity, 2 * n + chosen.length);
        System.arraycopy(uncertainty, 0, out, n, n);
        for (int i = 0; i < chosen.length; i++)
            out[2 * n + i] = chosen[i] ? 1 : 0;
        return out;
    }

    @Override
    public void restore(double[] state) {
        int n = sensitivity.length;
        if (state.length != 2 * n && state.length != 2 * n + directions)
            throw new IllegalArgumentException("adalora: the checkpoint's rank allocation is of another adapter");
        System.arraycopy(state, 0, sensitivity, 0, n);
        System.arraycopy(state, n, uncertainty, 0, n);
        chosen = new boolean[state.length - 2 * n];
        for (int i = 0; i < chosen.length; i++)
            chosen[i] = state[2 * n + i] != 0;
        if (chosen.length > 0)
            layers.forEach(AdaLoraLayer::allotted);
    }

    boolean[] chosen() {
        return chosen.clone();
    }
}
