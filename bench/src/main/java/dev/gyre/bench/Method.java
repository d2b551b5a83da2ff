package dev.gyre.bench;

import dev.gyre.kernels.InputException;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.adalora.AdaLora;
import dev.gyre.model.adapter.boft.Boft;
import dev.gyre.model.adapter.dora.Dora;
import dev.gyre.model.adapter.givens.Goft;
import dev.gyre.model.adapter.givens.Qgoft;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.adapter.psoft.Psoft;
import dev.gyre.model.weights.Storage;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.IntFunction;
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
        FLOOR(Number.NONE, 0, _ -> Oft.of(Targets.names("embed_tokens"), 32)),
        /// All weights.
        FULL(Number.NONE, 0, _ -> {
            throw new InputException("full fine-tuning has no adapter");
        }),
        /// OFTv2 by Cayley-Neumann with five terms, as PEFT has it.
        OFT(Number.BLOCK_SIZE, 32, b -> Oft.of(all(), b)),
        /// OFTv2 with the exact Cayley transform.
        OFTX(Number.BLOCK_SIZE, 32, Kind::exact),
        /// OFT v1: the weight is multiplied by a dense block-diagonal d x d matrix every step.
        V1DENSE(Number.BLOCK_SIZE, 32, b -> exact(b).with(Oft.Form.WEIGHT_DENSE)),
        /// OFT v1 that uses the block structure.
        V1BLOCK(Number.BLOCK_SIZE, 32, b -> exact(b).with(Oft.Form.WEIGHT_BLOCK)),
        /// BOFT with one factor.
        BOFT(Number.BLOCK_SIZE, 32, b -> Boft.of(all(), b, 1)),
        /// OFTv2 over NF4.
        QOFT(Number.BLOCK_SIZE, 32, b -> Oft.of(all(), b)), LORA(Number.RANK, 16, r -> Lora.of(all(), r)),
        /// LoRA over NF4.
        QLORA(Number.RANK, 16, r -> Lora.of(all(), r)), PSOFT(Number.RANK, 64, Kind::psoft),
        /// PSOFT by Cayley-Neumann.
        PSOFTN(Number.RANK, 64, r -> psoft(r).with(Psoft.Cayley.NEUMANN, 5, null)), HRA(Number.RANK, 8,
                r -> Hra.of(all(), r)),
        GOFT(Number.NONE, 0, _ -> new Goft(false, all())), QGOFT(Number.NONE, 0, _ -> new Qgoft(0.01, all())),
        DORA(Number.RANK, 16, r -> Dora.of(all(), r)),
        /// AdaLoRA at its full rank, as before the first allocation.
        ADALORA(Number.RANK, 12, r -> AdaLora.of(all(), r, r, null));

        private final Number counts;
        private final int usual;
        private final IntFunction<AdapterOptions> options;

        Kind(Number counts, int usual, IntFunction<AdapterOptions> options) {
            this.counts = counts;
            this.usual = usual;
            this.options = options;
        }

        String label() {
            return name().toLowerCase(Locale.ROOT);
        }

        private static Oft exact(int b) {
            return Oft.of(all(), b).with(Oft.Cayley.EXACT, 5);
        }

        /// Factors by the fast randomised SVD: their quality does not matter to the time of a step.
        private static Psoft psoft(int r) {
            return Psoft.of(all(), r).with(Psoft.Svd.LOWRANK, 2);
        }
    }

    private static Targets all() {
        return Targets.allLinear();
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

    boolean isFloor() {
        return kind == Kind.FLOOR;
    }

    /// How the base is held when nothing else is said.
    Storage base() {
        return kind == Kind.QOFT || kind == Kind.QLORA ? Storage.NF4 : Storage.F32;
    }

    /// The adapter, on all linear layers; not for [Kind#FULL].
    AdapterOptions options() {
        return kind.options.apply(number);
    }
}
