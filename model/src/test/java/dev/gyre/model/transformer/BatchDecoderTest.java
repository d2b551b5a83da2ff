package dev.gyre.model.transformer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.AttentionOps;
import dev.gyre.kernels.op.CayleyOps;
import dev.gyre.kernels.op.Op;
import dev.gyre.kernels.op.RopeOps;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.weights.Storage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Sequences decoded together get what each gets alone, to the bit: for every family, every method and every base.
class BatchDecoderTest {
    private static final Path FAMILIES = Path.of("src/test/resources/golden/families");
    private static final int LENGTH = 12;

    private static Transformer load(String name, Storage storage) {
        try (ModelDir dir = ModelDir.open(FAMILIES.resolve(name))) {
            return Transformer.load(dir, storage);
        }
    }

    private static Transformer adapted(Transformer base, AdapterOptions options, int seed) {
        Transformer model = base.bare();
        Adapter a = Adapter.create(options, model, seed, new BaseWeights(model, new CpuBackend(1), (_, _, _, _) -> {
        }));
        Random random = new Random(seed);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (0.1 * random.nextGaussian());
        model.attach(a);
        return model;
    }

    private static int[] sequence(int seed, int n, int V) {
        Random random = new Random(seed);
        return random.ints(n, 0, V).toArray();
    }

    /// The logits after each token of a sequence that is alone in a decoder.
    private static List<float[]> alone(Transformer model, Backend backend, int[] tokens) {
        List<float[]> out = new ArrayList<>();
        try (Decoder d = new Decoder(model, backend, LENGTH)) {
            for (int t : tokens)
                out.add(d.next(t));
        }
        return out;
    }

    /// Eight sequences in eight slots, over some models, begun at different times, prompts cut in different ways.
    private static void sameTogether(List<Transformer> models, Backend backend) {
        int V = models.getFirst().config().vocabSize();
        int n = 8;
        int[][] tokens = new int[n][];
        List<List<float[]>> expected = new ArrayList<>();
        for (int s = 0; s < n; s++) {
            tokens[s] = sequence(s, LENGTH, V);
            expected.add(alone(models.get(s % models.size()), backend, tokens[s]));
        }
        try (BatchDecoder d = new BatchDecoder(models, backend, n, LENGTH)) {
            for (int s = n - 1; s >= 0; s--) {
                assertThat(d.open(s, s % models.size(), tokens[s])).isZero();
                d.feed(s, Arrays.copyOf(tokens[s], s));
            }
            for (int round = 0; round < LENGTH; round++)
                for (int m = 0; m < models.size(); m++) {
                    List<Integer> rows = new ArrayList<>();
                    for (int s = m; s < n; s += models.size())
                        if (s + round < LENGTH)
                            rows.add(s);
                    if (rows.isEmpty())
                        continue;
                    float[][] got = new float[rows.size()][V];
                    int at = round;
                    d.next(rows.stream().mapToInt(Integer::intValue).toArray(),
                            rows.stream().mapToInt(s -> tokens[s][s + at]).toArray(), got);
                    for (int r = 0; r < got.length; r++)
                        assertThat(got[r]).as("slot %d, token %d", rows.get(r), rows.get(r) + round)
                                .isEqualTo(expected.get(rows.get(r)).get(rows.get(r) + round));
                }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-bias-llama3", "llama-yarn-tied", "llama-dynamic", "mistral-window",
        "qwen2-mixed-window", "qwen3", "../families2/olmo2", "../families2/gemma2", "../families2/gemma3-text",
        "../families2/granite", "../families2/phi3", "../families2/smollm3-window"})
    void everyMethodOfEveryFamily(String name) {
        Transformer base = load(name, Storage.AS_STORED);
        Backend cpu = new CpuBackend(2);
        for (AdapterOptions options : MethodsOnDevicesTest.methods())
            sameTogether(List.of(adapted(base, options, 3)), cpu);
    }

    @ParameterizedTest
    @ValueSource(strings = {"AS_STORED", "F32", "BF16", "NF4", "NF4_DOUBLE"})
    void everyMethodOverEveryBase(String storage) {
        Transformer base = load("qwen3", Storage.valueOf(storage));
        Backend cpu = new CpuBackend(2);
        for (AdapterOptions options : MethodsOnDevicesTest.methods())
            sameTogether(List.of(adapted(base, options, 3)), cpu);
    }

    /// Adapters of different methods, and the base itself, in one decoder.
    @Test
    void adaptersDoNotMix() {
        Transformer base = load("qwen3", Storage.AS_STORED);
        List<AdapterOptions> methods = MethodsOnDevicesTest.methods();
        List<Transformer> models = new ArrayList<>(List.of(base));
        for (int i = 0; i < 4; i++)
            models.add(adapted(base, methods.get(i * (methods.size() - 1) / 3), 7 + i));
        sameTogether(models, new CpuBackend(2));
        sameTogether(models.subList(0, 2), TestDevice.open());
    }

    /// Every slot can be used again, by another model; what of a prompt is there already is not fed again.
    @Test
    void aSlotIsUsedAgain() {
        Transformer base = load("qwen3", Storage.AS_STORED);
        List<Transformer> models = List.of(base, adapted(base, MethodsOnDevicesTest.methods().getFirst(), 5));
        Backend cpu = new CpuBackend(1);
        int V = base.config().vocabSize();
        int[] tokens = sequence(1, 9, V);
        float[][] got = new float[1][V];
        try (BatchDecoder d = new BatchDecoder(models, cpu, 2, LENGTH)) {
            for (int m : new int[] {0, 1, 1, 0}) {
                int held = d.held(1, m, tokens);
                assertThat(d.open(1, m, tokens)).isEqualTo(held);
                d.feed(1, Arrays.copyOfRange(tokens, held, 8));
                d.next(new int[] {1}, new int[] {tokens[8]}, got);
                assertThat(got[0]).isEqualTo(alone(models.get(m), cpu, tokens).getLast());
            }
            assertThat(d.held(1, 0, tokens)).isEqualTo(8);
            assertThat(d.held(1, 1, tokens)).isZero();
            assertThat(d.held(0, 0, tokens)).isZero();
            d.open(0, 0, tokens);
            assertThatThrownBy(() -> d.feed(0, new int[LENGTH + 1])).isInstanceOf(InputException.class)
                    .hasMessageContaining("opened for " + LENGTH);
            assertThatThrownBy(() -> d.open(0, 0, new int[] {V})).isInstanceOf(InputException.class)
                    .hasMessageContaining("outside the vocabulary");
        }
    }

    /// Rotations are computed once, not for each token, and again when the parameters have changed; only the dense forms of
    /// OFT v1, which would keep a copy of each weight, are not.
    @Test
    void whatIsFixedIsComputedOnce() {
        Transformer base = load("qwen3", Storage.F32);
        for (AdapterOptions options : MethodsOnDevicesTest.methods()) {
            Transformer m = adapted(base, options, 3);
            BatchDecoder.Passes p = BatchDecoder.emit(m.config(),
                    List.of(new BatchDecoder.Variant(m, m.adapters())), 4, LENGTH).passes().getFirst();
            List<Op> each = Stream.concat(p.steps().values().stream(), p.parts().values().stream())
                    .flatMap(d -> d.program().ops().stream()).toList();
            if (p.once() == null)
                continue;
            assertThat(each).as(options.toString()).noneMatch(o -> o instanceof CayleyOps);
            assertThat(p.once().ops()).as(options.toString())
                    .noneMatch(o -> o instanceof AttentionOps || o instanceof RopeOps);
        }
        Transformer oft = adapted(base, MethodsOnDevicesTest.methods().getFirst(), 3);
        assertThat(BatchDecoder.emit(oft.config(), List.of(new BatchDecoder.Variant(oft, oft.adapters())), 1, LENGTH)
                .passes().getFirst().once()).isNotNull();
    }

    /// Weights are there once, whatever the number of adapters on them.
    @Test
    void modelsShareTheirWeights() {
        Transformer base = load("qwen3", Storage.AS_STORED);
        List<Transformer> models = new ArrayList<>(List.of(base));
        AdapterOptions lora = MethodsOnDevicesTest.methods().stream().filter(o -> o.method().equals("lora")).findFirst()
                .orElseThrow();
        long one = BatchDecoder.bytes(models, 4, 64);
        for (int i = 0; i < 3; i++)
            models.add(adapted(base, lora, i));
        long more = BatchDecoder.bytes(models, 4, 64) - one;
        long adapters = models.stream().skip(1).mapToLong(m -> 4 * m.adapters().getFirst().parameters()).sum();
        assertThat(more).isBetween(adapters, adapters + 8192);
        long weights = base.weights().values().stream().mapToLong(w -> w.bytes()).sum();
        assertThat(BatchDecoder.emit(base.config(),
                models.stream().map(m -> new BatchDecoder.Variant(m, m.adapters())).toList(), 4, 64).weights())
                .isBetween(weights, weights + weights / 4);
    }
}
