package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.HostData;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.transformer.Merge;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.quant.DoubleQuant;
import dev.gyre.quant.Nf4;
import java.awt.Color;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.internal.chartpart.IChart;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/// Draws the figures of `docs/methods` from Gyre's own operations and the model of this repository, and prints the values
/// that it plots. `docs/methods/README.md` has the command.
final class MethodFigures {
    static final int B = 32;
    static final Backend backend = new CpuBackend();

    public static void main(String[] args) throws IOException {
        Path out = Path.of(args.length > 0 ? args[0] : "docs/methods");
        orthogonality(out);
        parameters(out);
        quantisation(out);
        subspace(out);
        structure(out);
    }

    static XYChart chart(String title, String x, String y) {
        XYChart c = new XYChartBuilder().width(720).height(420).title(title).xAxisTitle(x).yAxisTitle(y).build();
        c.getStyler().setChartBackgroundColor(Color.WHITE).setLegendPosition(Styler.LegendPosition.OutsideE)
                .setPlotBorderVisible(false).setChartTitleBoxVisible(false);
        return c;
    }

    static void save(IChart c, Path to) throws IOException {
        try (OutputStream out = Files.newOutputStream(to)) {
            BitmapEncoder.saveBitmap(c, out, BitmapEncoder.BitmapFormat.PNG);
        }
    }

    static void line(XYChart c, String name, List<Double> x, List<Double> y) {
        c.addSeries(name, x, y).setMarker(SeriesMarkers.NONE);
    }

    /// Largest |singular value^2 - 1| of the map of random skew blocks, as the CPU kernel makes it in F32.
    static void orthogonality(Path out) throws IOException {
        Map<String, Orthogonal> maps = new LinkedHashMap<>();
        maps.put("Neumann, 3 terms", Orthogonal.neumann(3));
        maps.put("Neumann, 5 terms (default)", Orthogonal.neumann(5));
        maps.put("Neumann, 6 terms", Orthogonal.neumann(6));
        maps.put("Neumann, 9 terms", Orthogonal.neumann(9));
        maps.put("Newton-Schulz, 6", Orthogonal.of(Orthogonal.Form.NEWTON_SCHULZ, 6));
        maps.put("exact Cayley", Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0));
        XYChart c = chart("Orthogonality defect of a block of 32", "spectral norm of Q", "largest |s^2 - 1|");
        c.getStyler().setYAxisLogarithmic(true).setYAxisMin(1e-8).setYAxisMax(10.0);
        int m = B * (B - 1) / 2;
        Random random = new Random(1);
        float[] unit = new float[m];
        for (int i = 0; i < m; i++)
            unit[i] = (float) random.nextGaussian();
        double norm = singular(skew(unit))[0];
        for (var e : maps.entrySet()) {
            List<Double> x = new ArrayList<>();
            List<Double> y = new ArrayList<>();
            for (double theta = 0.02; theta <= 1.2; theta += 0.02) {
                float[] v = new float[m];
                for (int i = 0; i < m; i++)
                    v[i] = (float) (unit[i] * theta / norm);
                double worst = 0;
                for (double s : singular(map(e.getValue(), v)))
                    worst = Math.max(worst, Math.abs(s * s - 1));
                x.add(theta);
                y.add(Math.max(worst, 1e-8));
            }
            line(c, e.getKey(), x, y);
            IO.println(e.getKey() + ": defect at ||Q|| = 0.5: " + y.get(24) + ", at 1.0: " + y.get(49));
        }
        save(c, out.resolve("orthogonality.png"));
    }

    static RealMatrix map(Orthogonal map, float[] v) {
        Buf in = Buf.state("v", v.length);
        Buf r = Buf.output("R", B, B);
        Program p = Program.builder("map").add(new CayleyOps.Cayley(map, in, r, 1, B)).build();
        try (Session s = backend.open(List.of(p))) {
            s.write(in, v);
            s.run(p);
            return matrix(s.read(r), B, B);
        }
    }

    static RealMatrix matrix(float[] a, int rows, int columns) {
        RealMatrix m = new Array2DRowRealMatrix(rows, columns);
        for (int i = 0; i < a.length; i++)
            m.setEntry(i / columns, i % columns, a[i]);
        return m;
    }

    static RealMatrix skew(float[] v) {
        RealMatrix q = new Array2DRowRealMatrix(B, B);
        int k = 0;
        for (int i = 0; i < B; i++)
            for (int j = i + 1; j < B; j++, k++) {
                q.setEntry(i, j, v[k]);
                q.setEntry(j, i, -v[k]);
            }
        return q;
    }

    static double[] singular(RealMatrix m) {
        return new SingularValueDecomposition(m).getSingularValues();
    }

    /// Trainable parameters of one square layer, counted on the adapter itself.
    static void parameters(Path out) throws IOException {
        Targets q = Targets.names("q_proj");
        Map<String, AdapterOptions> specs = new LinkedHashMap<>();
        specs.put("OFTv2, b = 32", Oft.of(q, 32));
        specs.put("LoRA, r = 16", Lora.of(q, 16));
        specs.put("BOFT, b = 4, m = 2", Boft.of(q, 4, 2));
        specs.put("HRA, r = 8", Hra.of(q, 8));
        specs.put("GOFT", new Goft(true, q));
        specs.put("qGOFT", new Qgoft(0.01, q));
        specs.put("PSOFT, r = 46", Psoft.of(q, 46));
        XYChart c = chart("Trainable parameters of one d x d layer", "width d", "trainable parameters");
        c.getStyler().setYAxisLogarithmic(true).setXAxisLogarithmic(true);
        for (var e : specs.entrySet()) {
            List<Double> x = new ArrayList<>();
            List<Double> y = new ArrayList<>();
            for (int d = 64; d <= 4096; d *= 2) {
                Transformer model =
                        Transformer.random(ModelConfig.llama(8, d, 8, 1, 1, 1, 8, true, null, List.of(), null), 1);
                Adapter a = Adapter.planned(e.getValue(), model);
                x.add((double) d);
                y.add((double) a.parameters());
            }
            line(c, e.getKey(), x, y);
            IO.println(e.getKey() + ": " + y.getLast().longValue() + " at d = 4096");
        }
        save(c, out.resolve("parameters.png"));
    }

    /// Relative Frobenius error and bits a weight of NF4 on a normal 512 x 512 weight, by block size.
    static void quantisation(Path out) throws IOException {
        int n = 512 * 512;
        float[] w = new float[n];
        Random random = new Random(2);
        for (int i = 0; i < n; i++)
            w[i] = (float) (0.02 * random.nextGaussian());
        XYChart c = chart("NF4 of a normal weight", "bits a weight", "relative error");
        for (boolean nested : new boolean[] {false, true}) {
            List<Double> x = new ArrayList<>();
            List<Double> y = new ArrayList<>();
            for (int block = 32; block <= 4096; block *= 2) {
                HostData.NF4 q = Nf4.quantize(new HostData.F32(w), block);
                if (nested)
                    q = DoubleQuant.of(q);
                float[] back = Nf4.dequantize(q);
                double error = 0;
                double all = 0;
                for (int i = 0; i < n; i++) {
                    error += Math.pow(back[i] - w[i], 2);
                    all += Math.pow(w[i], 2);
                }
                x.add(8.0 * q.bytes() / n);
                y.add(Math.sqrt(error / all));
                IO.println("NF4" + (nested ? " double" : "") + " block " + block + ": " + x.getLast() + " bits, error "
                        + y.getLast());
            }
            c.addSeries(nested ? "double quantisation" : "F32 maxima", x, y);
        }
        save(c, out.resolve("nf4.png"));
    }

    /// Share of a weight's squared norm in its r leading directions: mean over the layers of the small model.
    static void subspace(Path out) throws IOException {
        Transformer model;
        try (ModelDir dir = ModelDir.open(Path.of("examples/small-llama"))) {
            model = Transformer.load(dir);
        }
        XYChart c = chart("Principal subspace of the small model's weights", "rank r", "share of the squared norm");
        for (String kind : List.of("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")) {
            List<Double> x = new ArrayList<>();
            List<Double> y = new ArrayList<>();
            for (int r : new int[] {2, 4, 8, 16, 32, 48, 64}) {
                double[] sum = new double[2];
                Adapter.create(Psoft.of(Targets.names(kind), r), model, 1,
                        new BaseWeights(model, backend, (name, captured, residual, gap) -> {
                            sum[0] += captured;
                            sum[1]++;
                        }));
                x.add((double) r);
                y.add(sum[0] / sum[1]);
            }
            c.addSeries(kind, x, y);
            IO.println(kind + ": share at r = 2, 4, 8, 16, 32, 48, 64: " + y);
        }
        save(c, out.resolve("psoft.png"));
    }

    /// The map between input and weight: |M| for d = 32, from a merged identity weight.
    static void structure(Path out) throws IOException {
        int d = 32;
        Targets q = Targets.names("q_proj");
        Map<String, AdapterOptions> specs = new LinkedHashMap<>();
        specs.put("oft", Oft.of(q, 8));
        specs.put("goft", new Goft(false, q));
        specs.put("boft", Boft.of(q, 4, 3));
        specs.put("hra", Hra.of(q, 4));
        for (var e : specs.entrySet()) {
            Transformer model =
                    Transformer.random(ModelConfig.llama(8, d, 8, 1, 1, 1, 8, true, null, List.of(), null), 1);
            String name = "model.layers.0.self_attn.q_proj.weight";
            float[] identity = new float[d * d];
            for (int i = 0; i < d; i++)
                identity[i * d + i] = 1;
            model.replace(name, identity);
            Adapter a = Adapter.create(e.getValue(), model, 1);
            Random random = new Random(4);
            for (Tensor t : a.tensors())
                if (!t.name().endsWith("boft_s"))
                    for (int i = 0; i < t.size(); i++)
                        t.values()[i] += (float) (0.35 * random.nextGaussian());
            model.attach(a);
            float[] w = Merge.weight(model, backend, name);
            HeatMapChart c = new HeatMapChartBuilder().width(420).height(400)
                    .title("|M| of " + e.getKey()).xAxisTitle("feature of x M")
                    .yAxisTitle("feature of x").build();
            c.getStyler().setChartBackgroundColor(Color.WHITE).setChartTitleBoxVisible(false);
            c.getStyler().setXAxisMaxLabelCount(8);
            c.getStyler().setRangeColors(new Color[] {Color.WHITE, new Color(0x1f4e9c)}).setMin(0).setMax(1);
            List<Number[]> cells = new ArrayList<>();
            for (int i = 0; i < d; i++)
                for (int j = 0; j < d; j++)
                    cells.add(new Number[] {j, i, Math.abs(w[j * d + i])});
            List<Integer> xs = new ArrayList<>();
            for (int i = 0; i < d; i++)
                xs.add(i);
            c.addSeries("M", xs, xs, cells);
            save(c, out.resolve(e.getKey() + ".png"));
        }
    }
}
