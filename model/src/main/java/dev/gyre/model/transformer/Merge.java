package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.kernels.op.DType;
import dev.gyre.kernels.op.ElementOps;
import dev.gyre.kernels.op.TokenOps;
import dev.gyre.model.adapter.AdaptedLinear;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterLayer;
import dev.gyre.model.adapter.EmbeddingRotation;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Emitter;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.weights.Site;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// Folds the adapters of a model into its weights.
///
/// An adapted linear layer without bias is a matrix, and its rows are what the layer does to the unit vectors:
/// `y = e_k W'^T` is column k of W'. So every method, and any stack of adapters, merges by its own forward pass, in the
/// order in which it runs; a method needs no merge code that could disagree with it.
public final class Merge {
    /// Unit vectors that go through a layer at once.
    private static final int ROWS = 256;

    private Merge() {
    }

    /// Weights that the model's adapters change, by their Hugging Face names, in the order of the model.
    ///
    /// @throws InputException when an adapter sits on one end of a tied embedding, which no single weight can hold
    public static List<String> changed(Transformer model) {
        Set<String> modules = new LinkedHashSet<>();
        for (Adapter a : model.adapters())
            for (AdapterLayer m : a.modules())
                modules.add(m.module());
        Set<String> whole = new LinkedHashSet<>();
        for (Adapter a : model.adapters())
            for (Tensor t : a.whole())
                whole.add(t.name());
        for (Adapter a : model.adapters())
            whole.addAll(a.replaced().keySet());
        for (Adapter a : model.adapters())
            for (AdapterLayer m : a.modules())
                if (m.outputBias() != null) {
                    if (!hasBias(model, m.module()))
                        throw new InputException(m.module() + ": the model has no bias there, into which the adapter's"
                                + " (lora_bias) could be merged; use the adapter unmerged");
                    whole.add(m.module() + ".bias");
                }
        List<String> out = new ArrayList<>();
        for (String w : whole)
            if (w.equals(ModelConfig.EMBEDDING_APART)
                    || model.config().tieWordEmbeddings() && w.equals(ModelConfig.HEAD + ".weight"))
                throw new InputException("the adapter trains embedding and output head apart (modules_to_save), which"
                        + " the model ties (tie_word_embeddings), and one shared weight cannot hold both; use the"
                        + " adapter unmerged");
        for (String m : modules) {
            if (model.config().tieWordEmbeddings() && (m.equals(ModelConfig.HEAD) || m.equals(ModelConfig.EMBEDDING)))
                throw new InputException(m + ": the model ties its embedding and its output head"
                        + " (tie_word_embeddings), and an adapter on one of them cannot be merged into the shared weight;"
                        + " use the adapter unmerged, or train without this target");
            out.add(m + ".weight");
        }
        for (String w : whole)
            if (!out.contains(w))
                out.add(w);
        return out;
    }

    /// The merged weight `name` (out, in) in F32.
    public static float[] weight(Transformer model, Backend backend, String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        List<Tensor> tensors = new ArrayList<>();
        for (Adapter a : model.adapters())
            tensors.addAll(a.tensors());
        Buffers store = new Buffers(model, tensors);
        List<AdapterLayer> adapters = model.byModule().getOrDefault(module, List.of());
        for (Tensor t : tensors)
            if (t.name().equals(name) && (adapters.isEmpty() || name.endsWith(".bias")))
                return biased(t.values().clone(), name, adapters, 1);
        if (name.endsWith(".bias"))
            return biased(model.values(name).clone(), name, adapters, 1);
        return module.equals(model.embedding().path()) ? embedding(model, backend, store, adapters)
                : linear(model, backend, store, module, adapters);
    }

    private static boolean hasBias(Transformer model, String module) {
        return model.linears().stream().anyMatch(i -> i.path().equals(module) && i.bias());
    }

    /// Adds to a module's bias what the adapters add to its output, or takes it out.
    private static float[] biased(float[] values, String name, List<AdapterLayer> adapters, int sign) {
        if (name.endsWith(".bias"))
            for (AdapterLayer a : adapters) {
                AdapterLayer.OutputBias own = a.outputBias();
                for (int i = 0; own != null && i < values.length; i++)
                    values[i] += (float) (sign * own.scale() * own.values().values()[i]);
            }
        return values;
    }

    /// A weight as it was before merging.
    ///
    /// @param values (out, in), row-major
    /// @param growth how much a rounding error of the merged weight may have grown in it, at least 1
    public record Unmerged(float[] values, double growth) {
    }

    /// Takes the model's adapters out of the merged weight `name` again: `W` from `W'`, each adapter by its inverse in
    /// double, the last merged one first. What W' lost when it was rounded to its stored type cannot be restored.
    ///
    /// @param model with the adapters attached in the order in which they were merged; its weights are not read
    /// @param merged W' (out, in), not changed
    /// @throws InputException when an inverse would divide by almost nothing, or when the adapter replaced the
    ///         weight (a trained bias, a module of `modules_to_save`) instead of changing it
    public static Unmerged unmerge(Transformer model, Backend backend, String name, float[] merged) {
        for (Adapter a : model.adapters())
            for (Tensor t : a.whole())
                if (t.name().equals(name))
                    throw new InputException(name + ": the adapter brings a trained copy of it, from which"
                            + " the original cannot be found; take it from the base model");
        String module = name.substring(0, name.lastIndexOf('.'));
        for (Adapter a : model.adapters())
            if (a.replaced().containsKey(name))
                throw new InputException(name + ": the adapter replaces it (a copy of the embedding or head, trained"
                        + " tokens, or a PiSSA or OLoRA start), and the original cannot be found from that; take it"
                        + " from the base model");
        return without(model.byModule().getOrDefault(module, List.of()), name, merged, model.dims(name)[0],
                module.equals(model.embedding().path()), backend);
    }

    /// As [#unmerge], a weight or bias without what adapters put into it.
    ///
    /// @param on the module's adapters in the order in which they were merged
    /// @param rows of the weight
    /// @param embedding whether the weight is a table of tokens
    public static Unmerged without(List<AdapterLayer> on, String name, float[] merged, int rows, boolean embedding,
            Backend backend) {
        if (name.endsWith(".bias"))
            return new Unmerged(biased(merged.clone(), name, on, -1), 1);
        double[] w = new double[merged.length];
        for (int i = 0; i < w.length; i++)
            w[i] = merged[i];
        List<AdapterLayer> adapters = new ArrayList<>(on);
        if (embedding)
            Collections.reverse(adapters); // E' = E R_0 R_1, but W' = W R_1^T R_0^T
        double growth = 1;
        for (AdapterLayer a : adapters)
            growth *= a.unmerge(w, rows, embedding, backend);
        float[] values = new float[w.length];
        for (int i = 0; i < w.length; i++)
            values[i] = (float) w[i];
        return new Unmerged(values, growth);
    }

    private static float[] linear(Transformer model, Backend backend, Buffers store, String module,
            List<AdapterLayer> adapters) {
        Site site = model.linears().stream().filter(i -> i.path().equals(module)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the model has no linear module " + module));
        return matrix(backend, store, site, adapters);
    }

    /// The matrix (out, in) of an adapted linear layer, bias left out.
    public static float[] matrix(Backend backend, Buffers store, Site site, List<AdapterLayer> adapters) {
        String module = site.path();
        int in = site.in();
        int out = site.out();
        int rows = Math.min(ROWS, in);
        Buf x = Buf.input("unit vectors", DType.F32, rows, in);
        Buf y = Buf.output("columns", rows, out);
        Emitter e = new Emitter("merge " + module, store, false);
        e.scope(module);
        new AdaptedLinear(store, module, in, out, false, adapters).product(e, x, y, rows);
        Program program = e.build();
        float[] merged = new float[Math.multiplyExact(in, out)];
        float[] units = new float[rows * in];
        float[] columns = new float[rows * out];
        try (Session s = open(backend, store, program)) {
            for (int first = 0; first < in; first += rows) {
                java.util.Arrays.fill(units, 0f);
                int n = Math.min(rows, in - first);
                for (int r = 0; r < n; r++)
                    units[r * in + first + r] = 1f;
                s.write(x, units);
                s.run(program);
                s.read(y, columns);
                for (int r = 0; r < n; r++)
                    for (int o = 0; o < out; o++)
                        merged[o * in + first + r] = columns[r * out + o];
            }
        }
        return merged;
    }

    /// Rows of the embedding, rotated: `E' = E R`.
    private static float[] embedding(Transformer model, Backend backend, Buffers store, List<AdapterLayer> adapters) {
        int V = model.config().vocabSize();
        int C = model.config().hiddenSize();
        int rows = Math.min(ROWS, V);
        Buf ids = Buf.input("ids", DType.I32, rows);
        Buf out = Buf.output("rows", rows, C);
        Emitter e = new Emitter("merge embedding", store, false);
        Buf x = e.act("x", rows, C);
        e.add(new TokenOps.Embed(ids, store.weight(ModelConfig.EMBEDDING + ".weight"), x, rows, V, C));
        for (AdapterLayer a : adapters) {
            EmbeddingRotation r = a.onEmbedding(store);
            Buf y = e.act("rotated", rows, C);
            r.forward(e, x, y, rows);
            x = y;
        }
        e.add(new ElementOps.Copy(x, out));
        Program program = e.build();
        float[] merged = new float[Math.multiplyExact(V, C)];
        float[] part = new float[rows * C];
        int[] which = new int[rows];
        try (Session s = open(backend, store, program)) {
            for (int first = 0; first < V; first += rows) {
                int n = Math.min(rows, V - first);
                for (int r = 0; r < rows; r++)
                    which[r] = Math.min(first + r, V - 1);
                s.write(ids, which);
                s.run(program);
                s.read(out, part);
                System.arraycopy(part, 0, merged, first * C, n * C);
            }
        }
        return merged;
    }

    private static Session open(Backend backend, Buffers store, Program program) {
        Session s = backend.open(List.of(program));
        store.fill(s, MemoryPlan.of(List.of(program)));
        return s;
    }
}
