package dev.gyre.bench;

import dev.gyre.kernels.InputException;
import dev.gyre.kernels.op.Orthogonal;
import dev.gyre.model.adapter.AdapterSpec;
import dev.gyre.model.adapter.BoftSpec;
import dev.gyre.model.adapter.GivensSpec;
import dev.gyre.model.adapter.HraSpec;
import dev.gyre.model.adapter.LoraSpec;
import dev.gyre.model.adapter.OftSpec;
import dev.gyre.model.adapter.PsoftSpec;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.weights.Storage;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// What a measured step trains: `oft32` is OFTv2 with blocks of 32, `lora16` LoRA of rank 16.
///
/// @param number block size or rank; 0 where the method has none
record Method(Kind kind, int number) {
    /// What the number of a method counts.
    private enum Number {
        NONE, BLOCK_SIZE, RANK
    }

    enum Kind {
        /// One small rotation of the embeddings and nothing in the layers: the least that any adapter can cost.
        FLOOR(Number.NONE, 0),
        /// All weights.
        FULL(Number.NONE, 0),
        /// OFTv2 by Cayley-Neumann with five terms, as PEFT has it.
        OFT(Number.BLOCK_SIZE, 32),
        /// OFTv2 with the exact Cayley transform.
        OFTX(Number.BLOCK_SIZE, 32),
        /// OFT v1: the weight is multiplied by a dense block-diagonal d x d matrix every step.
        V1DENSE(Number.BLOCK_SIZE, 32),
        /// OFT v1 that uses the block structure.
        V1BLOCK(Number.BLOCK_SIZE, 32),
        /// BOFT with one factor.
        BOFT(Number.BLOCK_SIZE, 32),
        /// OFTv2 over NF4.
        QOFT(Number.BLOCK_SIZE, 32), LORA(Number.RANK, 16),
        /// LoRA over NF4.
        QLORA(Number.RANK, 16), PSOFT(Number.RANK, 64),
        /// PSOFT by Cayley-Neumann.
        PSOFTN(Number.RANK, 64), HRA(Number.RANK, 8), GOFT(Number.NONE, 0), QGOFT(Number.NONE, 0);

        private final Number counts;
        private final int usual;

        Kind(Number counts, int usual) {
            this.counts = counts;
            this.usual = usual;
        }

        String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    static final String NAMES = Arrays.stream(Kind.values()).map(k -> k.label() + (k.usual > 0 ? k.usual : ""))
            .collect(Collectors.joining(", "));
    private static final Pattern FORM = Pattern.compile("([a-z]+[0-9]?[a-z]+)([0-9]*)");

    static Method of(Kind kind) {
        return new Method(kind, kind.usual);
    }

    /// Reads `oft`, `oft32`; the two options say the number apart from the name.
    static Method of(String text, @Nullable Integer blockSize, @Nullable Integer rank) {
        Matcher m = FORM.matcher(text.toLowerCase(Locale.ROOT).replace("-", ""));
        Kind kind = m.matches() ? Arrays.stream(Kind.values()).filter(k -> k.label().equals(m.group(1))).findAny()
                .orElse(null) : null;
        if (kind == null)
            throw new InputException("--method " + text + ": unknown; use one of " + NAMES
                    + " (the number is block size or rank, and may be left out)");
        refuse(blockSize != null && kind.counts != Number.BLOCK_SIZE, kind, "--block-size", "has no block size");
        refuse(rank != null && kind.counts != Number.RANK, kind, "--rank", "has no rank");
        Integer said = blockSize != null ? blockSize : rank;
        if (m.group(2).isEmpty())
            return new Method(kind, positive(said == null ? kind.usual : said, kind));
        refuse(said != null, kind, blockSize != null ? "--block-size" : "--rank", "has its number in its name already");
        refuse(kind.counts == Number.NONE, kind, "--method " + text, "takes no number");
        return new Method(kind, positive(Integer.parseInt(m.group(2)), kind));
    }

    private static int positive(int n, Kind kind) {
        if (kind.counts != Number.NONE && n < 1)
            throw new InputException("--method " + kind.label() + ": " + n + " is below 1");
        return n;
    }

    private static void refuse(boolean wrong, Kind kind, String option, String why) {
        if (wrong)
            throw new InputException(option + ": the method " + kind.label() + " " + why);
    }

    String label() {
        return kind.label() + (number > 0 ? number : "");
    }

    boolean full() {
        return kind == Kind.FULL;
    }

    /// How the base is held when nothing else is said.
    Storage base() {
        return kind == Kind.QOFT || kind == Kind.QLORA ? Storage.NF4 : Storage.F32;
    }

    /// The adapter, on all linear layers; not for [Kind#FULL].
    AdapterSpec spec() {
        Targets all = Targets.allLinear();
        return switch (kind) {
            case FLOOR -> OftSpec.of(Targets.names("embed_tokens"), 32);
            case FULL -> throw new InputException("full fine-tuning has no adapter");
            case OFT, QOFT -> OftSpec.of(all, number);
            case OFTX -> oft(all, OftSpec.Form.INPUT);
            case V1DENSE -> oft(all, OftSpec.Form.WEIGHT_DENSE);
            case V1BLOCK -> oft(all, OftSpec.Form.WEIGHT_BLOCK);
            case BOFT -> new BoftSpec(all, number, 0, 1, 0, true);
            case LORA, QLORA -> LoraSpec.of(all, number);
            case PSOFT -> psoft(all, Orthogonal.of(Orthogonal.Form.CAYLEY_PLUS, 0));
            case PSOFTN -> psoft(all, Orthogonal.neumann(5));
            case HRA -> new HraSpec(all, number, false, true);
            case GOFT -> new GivensSpec(all, true, false, 0);
            case QGOFT -> new GivensSpec(all, false, false, 0.01);
        };
    }

    private OftSpec oft(Targets all, OftSpec.Form form) {
        return new OftSpec(all, 0, number, Orthogonal.of(Orthogonal.Form.CAYLEY_MINUS, 0), false, false, 6e-5, 0, true,
                form);
    }

    /// Factors by the fast randomised SVD: their quality does not matter to the time of a step.
    private PsoftSpec psoft(Targets all, Orthogonal map) {
        PsoftSpec p = PsoftSpec.of(all, number);
        return new PsoftSpec(all, number, p.alpha(), 0, p.init(), PsoftSpec.Svd.LOWRANK, 2, p.seed(), true,
                p.magnitudeA(), p.magnitudeB(), map, true);
    }
}
