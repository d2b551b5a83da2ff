package dev.gyre.trainer.task;

import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;

/// Scores of predictions as people know them, each from 0 (or -1) to 1.
public final class Scores {
    private Scores() {
    }

    /// Of classes: accuracy; F1, the mean over the classes that occur (of two classes, that of class 1); Matthews'
    /// correlation; with more than five classes the share of answers among the five likeliest.
    ///
    /// @param scores of each row for each of `classes`
    public static Map<String, Double> classes(int[] labels, float[] scores, int classes) {
        int[][] confusion = confusion(labels, scores, classes);
        Map<String, Double> out = new LinkedHashMap<>();
        out.put("accuracy", accuracy(confusion));
        out.put("f1", f1(confusion));
        out.put("matthews", matthews(confusion));
        if (classes > 5) {
            int right = 0;
            for (int i = 0; i < labels.length; i++)
                right += rank(scores, i * classes, classes, labels[i]) < 5 ? 1 : 0;
            out.put("top5", labels.length == 0 ? Double.NaN : right / (double) labels.length);
        }
        return out;
    }

    /// How often each class (row) was taken for each (column).
    public static int[][] confusion(int[] labels, float[] scores, int classes) {
        int[][] out = new int[classes][classes];
        for (int i = 0; i < labels.length; i++)
            out[labels[i]][best(scores, i * classes, classes)]++;
        return out;
    }

    /// Index of the largest of `n` values from `at` on; the first of equals.
    public static int best(float[] values, int at, int n) {
        int best = 0;
        for (int i = 1; i < n; i++)
            if (values[at + i] > values[at + best])
                best = i;
        return best;
    }

    /// Number of values that are larger than the one at `which`.
    private static int rank(float[] values, int at, int n, int which) {
        int above = 0;
        for (int i = 0; i < n; i++)
            if (values[at + i] > values[at + which])
                above++;
        return above;
    }

    private static double accuracy(int[][] confusion) {
        long right = 0;
        long all = 0;
        for (int i = 0; i < confusion.length; i++)
            for (int j = 0; j < confusion.length; j++) {
                all += confusion[i][j];
                right += i == j ? confusion[i][j] : 0;
            }
        return all == 0 ? Double.NaN : right / (double) all;
    }

    private static double f1(int[][] confusion) {
        double sum = 0;
        int classes = 0;
        for (int c = confusion.length == 2 ? 1 : 0; c < confusion.length; c++) {
            long right = confusion[c][c];
            long given = Arrays.stream(confusion[c]).sum();
            long said = 0;
            for (int[] row : confusion)
                said += row[c];
            if (given + said == 0)
                continue;
            sum += 2.0 * right / (given + said);
            classes++;
        }
        return classes == 0 ? 0 : sum / classes;
    }

    /// The correlation of labels and predictions, for any number of classes; 0 where either never changes.
    private static double matthews(int[][] confusion) {
        double all = 0;
        double right = 0;
        double both = 0;
        double given2 = 0;
        double said2 = 0;
        int n = confusion.length;
        for (int c = 0; c < n; c++) {
            double given = 0;
            double said = 0;
            for (int j = 0; j < n; j++) {
                given += confusion[c][j];
                said += confusion[j][c];
            }
            all += given;
            right += confusion[c][c];
            both += given * said;
            given2 += given * given;
            said2 += said * said;
        }
        double spread = Math.sqrt((all * all - said2) * (all * all - given2));
        return spread == 0 ? 0 : (right * all - both) / spread;
    }

    /// Of several labels, each present where its logit is above 0: the share of labels that are right, and F1 over all labels
    /// of all rows (micro).
    public static Map<String, Double> labels(float[] targets, float[] logits) {
        long right = 0;
        long hit = 0;
        long said = 0;
        long given = 0;
        for (int i = 0; i < targets.length; i++) {
            boolean label = targets[i] > 0.5f;
            boolean found = logits[i] > 0;
            right += label == found ? 1 : 0;
            hit += label && found ? 1 : 0;
            said += found ? 1 : 0;
            given += label ? 1 : 0;
        }
        Map<String, Double> out = new LinkedHashMap<>();
        out.put("accuracy", right / (double) targets.length);
        out.put("f1", given + said == 0 ? 0 : 2.0 * hit / (given + said));
        return out;
    }

    /// Of numbers: Pearson's and Spearman's correlation; 0 where one side never changes.
    public static Map<String, Double> numbers(float[] targets, float[] predictions) {
        Map<String, Double> out = new LinkedHashMap<>();
        out.put("pearson", pearson(doubles(targets), doubles(predictions)));
        out.put("spearman", pearson(ranks(targets), ranks(predictions)));
        return out;
    }

    private static double[] doubles(float[] x) {
        double[] out = new double[x.length];
        for (int i = 0; i < x.length; i++)
            out[i] = x[i];
        return out;
    }

    /// Places in ascending order; equal values share the mean of theirs.
    static double[] ranks(float[] x) {
        Integer[] order = new Integer[x.length];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, Comparator.comparingDouble(i -> x[i]));
        double[] out = new double[x.length];
        for (int from = 0; from < x.length;) {
            int to = from;
            while (to < x.length && x[order[to]] == x[order[from]])
                to++;
            for (int i = from; i < to; i++)
                out[order[i]] = (from + to - 1) / 2.0;
            from = to;
        }
        return out;
    }

    private static double pearson(double[] x, double[] y) {
        double mx = Arrays.stream(x).average().orElse(0);
        double my = Arrays.stream(y).average().orElse(0);
        double xy = 0;
        double xx = 0;
        double yy = 0;
        for (int i = 0; i < x.length; i++) {
            xy += (x[i] - mx) * (y[i] - my);
            xx += (x[i] - mx) * (x[i] - mx);
            yy += (y[i] - my) * (y[i] - my);
        }
        return xx == 0 || yy == 0 ? 0 : xy / Math.sqrt(xx * yy);
    }

    /// Of embeddings of pairs, where each first one should find its own second among all: recall at 1 and at 10, and nDCG at 10.
    ///
    /// @param first (pairs, width), of unit length like `second`
    public static Map<String, Double> retrieval(float[] first, float[] second, int width) {
        int pairs = first.length / width;
        double one = 0;
        double ten = 0;
        double gain = 0;
        for (int i = 0; i < pairs; i++) {
            float own = dot(first, i * width, second, i * width, width);
            int above = 0;
            for (int j = 0; j < pairs; j++)
                if (j != i && dot(first, i * width, second, j * width, width) > own)
                    above++;
            one += above == 0 ? 1 : 0;
            ten += above < 10 ? 1 : 0;
            gain += above < 10 ? Math.log(2) / Math.log(above + 2) : 0;
        }
        Map<String, Double> out = new LinkedHashMap<>();
        out.put("recall_at_1", one / pairs);
        out.put("recall_at_10", ten / pairs);
        out.put("ndcg_at_10", gain / pairs);
        return out;
    }

    static float dot(float[] x, int xo, float[] y, int yo, int n) {
        float s = 0;
        for (int i = 0; i < n; i++)
            s += x[xo + i] * y[yo + i];
        return s;
    }
}
