package dev.gyre.trainer.config;

import dev.gyre.model.adapter.Methods;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// A configuration to start from, by name: what `gyre init --preset` writes. Only the keys that make the preset what it is
/// are set here; all others keep their defaults.
///
/// @param purpose one line for lists
/// @param type [RunConfig] or [PretrainConfig]
/// @param settings `key.path=value`, values in YAML
public record Preset(String name, String purpose, Class<? extends Record> type, List<String> settings) {
    public Preset {
        settings = List.copyOf(settings);
    }

    /// Required keys of every fine-tuning preset.
    private static final List<String> PATHS =
            List.of("model.path=examples/small-llama", "data.train=data/train.jsonl", "data.valid=data/valid.jsonl");

    /// Presets of single methods come from the methods.
    private static final List<Preset> ALL = Stream.concat(Methods.all().stream()
            .flatMap(m -> m.presets().stream().map(p -> tune(p.name(), p.purpose(), m.name(), p.settings()))),
            Stream.of(
                    tune("full", "full fine-tuning: every weight, the upper baseline", "full", "model.base=f32",
                            "train.lr=5e-5"),
                    tune("quickstart", "the run of gyre quickstart: OFTv2 teaches the shipped model a skill", "oft",
                            "adapter.cayley=newton_schulz", "adapter.terms=6", "data.train=data/shift/train.jsonl",
                            "data.valid=data/shift/valid.jsonl", "train.steps=300",
                            "train.seq_len=128", "train.micro_batch=8", "train.lr=2.4e-3", "train.warmup=10",
                            "eval.batches=4"),
                    tune("book", "running text (a book, a code base) in place of tasks: every token counts", "oft",
                            "adapter.cayley=newton_schulz", "adapter.terms=6", "data.train=data/book.txt",
                            "data.valid=null", "data.format=text", "data.train_on=all",
                            "data.too_long=split", "train.lr=8e-4"),
                    tune("small-memory", "the least memory: QOFT, one short row at a time, gradients added up", "oft",
                            "adapter.cayley=newton_schulz", "adapter.terms=6", "model.base=nf4_double",
                            "train.seq_len=256", "train.micro_batch=1", "train.accumulate=16",
                            "train.lr=8e-4"),
                    scratch("pretrain-tiny", "a new model of 0.1 M weights, for first steps", "tiny",
                            "train.seq_len=128",
                            "train.steps=3000", "train.micro_batch=8", "train.lr=3e-3", "train.warmup=150",
                            "train.beta2=0.95"),
                    scratch("pretrain-small", "a new model of 1 M weights, as examples/small-llama was made", "small",
                            "train.seq_len=128", "train.steps=1800", "train.micro_batch=16", "train.lr=3e-3",
                            "train.warmup=100", "train.min_lr_ratio=0.02", "train.weight_decay=0.01")))
            .toList();

    private static Preset tune(String name, String purpose, String method, String... settings) {
        return tune(name, purpose, method, List.of(settings));
    }

    private static Preset tune(String name, String purpose, String method, List<String> settings) {
        List<String> all = new ArrayList<>(PATHS);
        all.add("adapter.method=" + method);
        all.add("output.dir=runs/" + name);
        all.addAll(settings);
        return new Preset(name, purpose, RunConfig.class, all);
    }

    private static Preset scratch(String name, String purpose, String size, String... settings) {
        List<String> all = new ArrayList<>(List.of("data.train=data/train.jsonl", "data.valid=data/valid.jsonl",
                "model.preset=" + size, "output.dir=runs/" + name));
        all.addAll(List.of(settings));
        return new Preset(name, purpose, PretrainConfig.class, all);
    }

    public static List<Preset> all() {
        return ALL;
    }

    /// @throws ConfigException when there is none of that name
    public static Preset of(String name) {
        for (Preset p : ALL)
            if (p.name.equals(name))
                return p;
        List<String> names = ALL.stream().map(Preset::name).toList();
        String near = Schema.nearest(name, names);
        throw new ConfigException("no preset " + name
                + (near == null ? "; there are " + String.join(", ", names) : "; did you mean " + near + "?"));
    }

    /// The file: every key with value, documentation and default.
    ///
    /// @param overrides replace settings of the preset
    /// @param file name of the file, for the commands in its head
    public String yaml(List<String> overrides, String file) {
        List<String> all = new ArrayList<>(settings);
        all.addAll(overrides);
        Record config = ConfigReader.parse("preset " + name, "", type, all);
        boolean tunes = type == RunConfig.class;
        List<String> head = new ArrayList<>(List.of("Preset " + name + ": " + purpose + ".",
                "Every key with its value; keys that keep their default may be deleted.", ""));
        if (tunes)
            head.add("  gyre check " + file + "    what it means, what it needs");
        head.add("  gyre " + (tunes ? "train" : "pretrain") + " " + file);
        return ConfigWriter.commented(config, head,
                key -> all.stream().anyMatch(s -> s.startsWith(key + "=")));
    }
}
