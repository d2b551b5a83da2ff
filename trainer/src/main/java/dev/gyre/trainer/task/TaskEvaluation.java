package dev.gyre.trainer.task;

import dev.gyre.model.family.EncoderConfig.Head;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.transformer.Batch;
import dev.gyre.trainer.config.TaskRunConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What a model says about examples, and how right it is.
///
/// @param loss mean over the labels that count, as in training
/// @param scores by name, the first is the one that runs are compared by
/// @param outputs values of each example (of tokens, of each label that counts)
/// @param labels class of each row of `outputs`, for classes
public record TaskEvaluation(double loss, Map<String, Double> scores, float[] outputs, int[] labels) {
    /// Contrastive losses multiply similarities by this.
    private static final double SHARPNESS = 20;

    /// @param B examples of a batch
    static TaskEvaluation of(TaskSession session, TaskConfig config, TaskRunConfig.Kind kind, TaskData data, int B) {
        Head head = config.head();
        int V = head.outputs();
        boolean pairs = kind == TaskRunConfig.Kind.PAIRS || kind == TaskRunConfig.Kind.SIMILARITY;
        Floats outputs = new Floats();
        Floats second = new Floats();
        List<Integer> labels = new ArrayList<>();
        double loss = 0;
        int counted = 0;
        for (int from = 0; from < data.size(); from += B) {
            List<Integer> which = new ArrayList<>();
            for (int i = from; i < Math.min(data.size(), from + B); i++)
                which.add(i);
            TaskBatch b = data.batch(which, B);
            float[] out = session.logits(b);
            int n = which.size();
            if (pairs) {
                outputs.add(out, 0, n * V);
                second.add(out, B * V, n * V);
                for (int i = 0; i < n; i++) {
                    double[] s = new double[n];
                    for (int j = 0; j < n; j++)
                        s[j] = SHARPNESS * Scores.dot(out, i * V, out, (B + j) * V, V);
                    double difference = s[i] / SHARPNESS - (kind == TaskRunConfig.Kind.SIMILARITY ? b.targets()[i] : 0);
                    loss += kind == TaskRunConfig.Kind.PAIRS ? crossEntropy(s, i) : difference * difference;
                    counted++;
                }
                continue;
            }
            int rows = kind == TaskRunConfig.Kind.TOKENS ? n * b.T() : n;
            for (int r = 0; r < rows; r++) {
                if (kind == TaskRunConfig.Kind.CLASS || kind == TaskRunConfig.Kind.TOKENS) {
                    if (b.labels()[r] == Batch.IGNORE)
                        continue;
                    double[] z = new double[V];
                    for (int v = 0; v < V; v++)
                        z[v] = out[r * V + v];
                    loss += crossEntropy(z, b.labels()[r]);
                    labels.add(b.labels()[r]);
                } else
                    for (int v = 0; v < V; v++) {
                        double z = out[r * V + v];
                        double t = b.targets()[r * V + v];
                        loss += (kind == TaskRunConfig.Kind.NUMBER ? (z - t) * (z - t)
                                : Math.max(z, 0) - z * t + Math.log1p(Math.exp(-Math.abs(z)))) / V;
                        second.add(new float[] {(float) t}, 0, 1);
                    }
                outputs.add(out, r * V, V);
                counted++;
            }
        }
        int[] classes = labels.stream().mapToInt(Integer::intValue).toArray();
        float[] all = outputs.toArray();
        Map<String, Double> scores = switch (kind) {
            case CLASS, TOKENS -> Scores.classes(classes, all, V);
            case LABELS -> Scores.labels(second.toArray(), all);
            case NUMBER -> Scores.numbers(second.toArray(), all);
            case PAIRS -> Scores.retrieval(all, second.toArray(), V);
            case SIMILARITY -> similarity(all, second.toArray(), V, data);
        };
        return new TaskEvaluation(counted == 0 ? Double.NaN : loss / counted, new LinkedHashMap<>(scores), all,
                classes);
    }

    private static Map<String, Double> similarity(float[] first, float[] second, int width, TaskData data) {
        float[] own = new float[data.size()];
        float[] wanted = new float[data.size()];
        for (int i = 0; i < own.length; i++) {
            own[i] = Scores.dot(first, i * width, second, i * width, width);
            wanted[i] = data.examples().get(i).number();
        }
        return Scores.numbers(wanted, own);
    }

    private static double crossEntropy(double[] z, int label) {
        double max = Arrays.stream(z).max().orElse(0);
        double sum = 0;
        for (double v : z)
            sum += Math.exp(v - max);
        return max + Math.log(sum) - z[label];
    }

    private static final class Floats {
        private float[] all = new float[256];
        private int n;

        void add(float[] from, int at, int count) {
            if (n + count > all.length)
                all = Arrays.copyOf(all, Math.max(2 * all.length, n + count));
            System.arraycopy(from, at, all, n, count);
            n += count;
        }

        float[] toArray() {
            return Arrays.copyOf(all, n);
        }
    }
}
