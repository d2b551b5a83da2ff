package dev.gyre.model.transformer;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.MemoryPlan;
import dev.gyre.kernels.Program;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.op.Buf;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.emit.Buffers;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.family.RopeTable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.TreeMap;

/// Continues several sequences together, each in a slot of the caches of keys and values: one pass over the weights gives
/// each of them a token. The sequences of a pass belong to one model, but a decoder may hold several that share weights: a
/// base with different adapters. Each has programs and adapter tensors of its own, so that nothing of one can reach
/// another; the weights, caches and working memory are there once.
///
/// On the CPU a sequence gets the same logits, to the bit, alone and among others, however its tokens are cut into passes:
/// every operation of these programs computes a row by itself.
public final class BatchDecoder implements AutoCloseable {
    /// Tokens of a prompt fed at once, and sequences of a pass, at most.
    public static final int CHUNK = 32;
    /// Tokens of a prompt, or of what is left of it, that a shorter pass takes.
    private static final int FEW = 8;

    /// A model of which only what is emitted matters.
    ///
    /// @param source of the weights
    /// @param adapters on it, outermost first
    record Variant(Buffers.Source source, List<Adapter> adapters) {
    }

    /// What one model runs: passes by the number of their rows, with logits, and without (parts of prompts).
    record Passes(Buffers store, NavigableMap<Integer, TransformerProgram.Decoding> steps,
            NavigableMap<Integer, TransformerProgram.Decoding> parts) {
        void addTo(List<Program> programs) {
            steps.values().forEach(d -> programs.add(d.program()));
            parts.values().forEach(d -> programs.add(d.program()));
        }
    }

    /// @param logits (rows of the largest pass, V)
    record Emitted(List<Passes> passes, Buf logits) {
        List<Program> programs() {
            List<Program> out = new ArrayList<>();
            passes.forEach(p -> p.addTo(out));
            return out;
        }

        /// Without the weights.
        long bytes() {
            MemoryPlan plan = MemoryPlan.of(programs());
            return plan.bytes() - plan.bytesByRole().getOrDefault(Buf.Role.WEIGHT, 0L);
        }

        /// Of the weights and tables.
        long weights() {
            return MemoryPlan.of(programs()).bytesByRole().getOrDefault(Buf.Role.WEIGHT, 0L);
        }
    }

    /// The sequence of a slot: the tokens that the caches hold, and whether with the second set of rotary frequencies.
    private static final class Slot {
        int variant;
        int[] fed = {};
        int at;
        boolean second;
    }

    private final ModelConfig config;
    private final int positions;
    private final Slot[] slots;
    private final List<Passes> passes;
    private final Buf logits;
    private final Session session;
    private final MemoryPlan plan;

    /// @param models of one configuration; those that share weights share memory
    /// @param slots number of sequences
    /// @param positions longest sequence, prompt and continuation together
    public BatchDecoder(List<Transformer> models, Backend backend, int slots, int positions) {
        this(models.getFirst().config(), emit(models.getFirst().config(),
                models.stream().map(m -> new Variant(m, m.adapters())).toList(), slots, positions), backend, slots,
                positions);
    }

    private BatchDecoder(ModelConfig config, Emitted e, Backend backend, int slots, int positions) {
        this.config = config;
        this.positions = positions;
        this.slots = new Slot[slots];
        Arrays.setAll(this.slots, _ -> new Slot());
        this.passes = e.passes;
        this.logits = e.logits;
        this.session = backend.open(e.programs());
        this.plan = MemoryPlan.of(e.programs());
        for (Passes p : passes)
            p.store.fill(session, plan);
    }

    static Emitted emit(ModelConfig config, List<Variant> variants, int slots, int positions) {
        if (slots < 1 || positions < 1)
            throw new InputException("a decoder needs at least one sequence of one token");
        if ((long) slots * positions * config.attention().kvWidth() > Integer.MAX_VALUE)
            throw new InputException(
                    slots + " sequences of " + positions + " tokens have more keys than an array of 2^31"
                            + " elements; take fewer, or shorter ones");
        TransformerProgram.Caches caches = TransformerProgram.Caches.of(config, slots * positions);
        int most = Math.min(slots, CHUNK);
        Buf logits = Buf.output("logits", most, config.vocabSize());
        Map<Integer, TransformerProgram.Tokens> inputs = new HashMap<>();
        List<Passes> passes = new ArrayList<>();
        for (Variant v : variants) {
            List<Tensor> trained = new ArrayList<>();
            for (Adapter a : v.adapters)
                trained.addAll(a.tensors());
            Buffers store = new Buffers(v.source, trained, passes.isEmpty() ? null : passes.getFirst().store);
            TransformerProgram emit = new TransformerProgram(config, store, Transformer.byModule(v.adapters), positions,
                    Backend.LOGITS);
            NavigableMap<Integer, TransformerProgram.Decoding> steps = new TreeMap<>();
            for (int n = 1; !steps.containsKey(most); n = Math.min(most, 2 * n))
                steps.put(n, emit.decoding(caches, inputs.computeIfAbsent(n, TransformerProgram.Tokens::of), logits));
            NavigableMap<Integer, TransformerProgram.Decoding> parts = new TreeMap<>();
            for (int n : new int[] {FEW, CHUNK})
                parts.put(n, emit.decoding(caches, inputs.computeIfAbsent(n, TransformerProgram.Tokens::of), null));
            passes.add(new Passes(store, steps, parts));
        }
        return new Emitted(passes, logits);
    }

    /// Bytes of a decoder without the weights.
    public static long bytes(List<Transformer> models, int slots, int positions) {
        return emit(models.getFirst().config(), models.stream().map(m -> new Variant(m, m.adapters())).toList(), slots,
                positions).bytes();
    }

    public int slots() {
        return slots.length;
    }

    /// Longest sequence.
    public int positions() {
        return positions;
    }

    /// Reads the adapters' tensors again and forgets all sequences. The weights are not read again.
    public void reload() {
        for (Passes p : passes)
            p.store.fillParams(session, plan);
        for (Slot s : slots)
            s.at = 0;
    }

    /// Tokens of the slot's sequence that were fed.
    public int position(int slot) {
        return slots[slot].at;
    }

    /// Forgets all but the first `n` tokens of a sequence: what is fed next continues from there.
    public void rewind(int slot, int n) {
        if (n < 0 || n > slots[slot].at)
            throw new InputException("cannot go back to token " + n + " of " + slots[slot].at);
        slots[slot].at = n;
    }

    /// How many tokens at the start of `prompt` the slot holds already; all but the last at most, whose logits are wanted.
    public int held(int slot, int model, int[] prompt) {
        Slot s = slots[slot];
        if (s.variant != model)
            return 0;
        int most = Math.min(s.at, prompt.length - 1);
        int same = Arrays.mismatch(s.fed, 0, most, prompt, 0, most);
        return same < 0 ? most : same;
    }

    /// Begins a sequence in a slot. What of it the slot [#held] is not fed again.
    ///
    /// @param model index of one of the decoder's models
    /// @return the tokens of `prompt` that need not be fed
    public int open(int slot, int model, int[] prompt) {
        check(prompt);
        if (prompt.length > positions)
            throw tooLong(prompt.length);
        Slot s = slots[slot];
        s.at = held(slot, model, prompt);
        s.variant = model;
        // a prompt may need the second frequencies from its first token on
        frequencies(slot, prompt.length);
        return s.at;
    }

    /// Says that a sequence will be `more` tokens longer before logits of it are asked for.
    void extend(int slot, int more) {
        int length = slots[slot].at + more;
        if (length > positions)
            throw tooLong(length);
        frequencies(slot, length);
    }

    /// Feeds tokens whose logits nobody wants.
    public void feed(int slot, int... tokens) {
        check(tokens);
        Slot s = slots[slot];
        if (s.at + tokens.length > positions)
            throw tooLong(s.at + tokens.length);
        NavigableMap<Integer, TransformerProgram.Decoding> parts = passes.get(s.variant).parts;
        for (int i = 0; i < tokens.length;) {
            int left = tokens.length - i;
            Map.Entry<Integer, TransformerProgram.Decoding> fits = parts.ceilingEntry(left);
            TransformerProgram.Decoding d = (fits == null ? parts.lastEntry() : fits).getValue();
            int n = Math.min(left, d.tokens().T());
            int[] rows = new int[n];
            Arrays.fill(rows, slot);
            run(d, rows, Arrays.copyOfRange(tokens, i, i + n));
            i += n;
        }
    }

    /// Feeds one token to each of some slots, whose sequences belong to one model.
    ///
    /// @param rows the slots, each once
    /// @param into for each slot its logits (V)
    public void next(int[] rows, int[] tokens, float[][] into) {
        check(tokens);
        int model = slots[rows[0]].variant;
        for (int slot : rows) {
            if (slots[slot].variant != model)
                throw new IllegalArgumentException("slots of two models in one pass");
            extend(slot, 1);
        }
        NavigableMap<Integer, TransformerProgram.Decoding> steps = passes.get(model).steps;
        int V = config.vocabSize();
        for (int i = 0; i < rows.length; i += CHUNK) {
            int n = Math.min(CHUNK, rows.length - i);
            run(Objects.requireNonNull(steps.ceilingEntry(n)).getValue(), Arrays.copyOfRange(rows, i, i + n),
                    Arrays.copyOfRange(tokens, i, i + n));
            for (int r = 0; r < n; r++)
                session.read(logits.view("row", (long) r * V, V), into[i + r]);
        }
    }

    private InputException tooLong(int tokens) {
        return new InputException(
                "the sequence would reach " + tokens + " tokens; this decoder was opened for " + positions);
    }

    private void check(int[] tokens) {
        for (int t : tokens)
            if (t < 0 || t >= config.vocabSize())
                throw new InputException("token id " + t + " is outside the vocabulary of " + config.vocabSize());
    }

    /// LongRoPE turns a sequence that grows to `length` tokens with other frequencies: what is cached is fed again.
    private void frequencies(int slot, int length) {
        Slot s = slots[slot];
        boolean longer = RopeTable.second(config, length);
        if (longer == s.second)
            return;
        s.second = longer;
        int[] again = Arrays.copyOf(s.fed, s.at);
        s.at = 0;
        feed(slot, again);
    }

    /// One pass. The rows that a pass has too many repeat the last one: they write what is there already.
    private void run(TransformerProgram.Decoding d, int[] of, int[] tokens) {
        int T = d.tokens().T();
        int[] ids = new int[T];
        int[] at = new int[T];
        int[] rows = new int[2 * T];
        for (int i = 0; i < T; i++) {
            int from = Math.min(i, of.length - 1);
            Slot s = slots[of[from]];
            if (i < of.length) {
                if (s.fed.length <= s.at)
                    s.fed = Arrays.copyOf(s.fed, Math.min(positions, Math.max(CHUNK, 2 * s.fed.length)));
                s.fed[s.at++] = tokens[i];
            }
            ids[i] = tokens[from];
            at[i] = s.at - 1 + (s.second ? positions : 0);
            rows[i] = of[from] * positions;
            rows[T + i] = rows[i] + s.at - 1;
        }
        session.write(d.tokens().ids(), ids);
        session.write(d.tokens().positions(), at);
        session.write(d.tokens().rows(), rows);
        session.run(d.program());
    }

    @Override
    public void close() {
        session.close();
    }
}
