package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.GyreException;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.family.EncoderConfig;
import dev.gyre.model.family.EncoderFamilies;
import dev.gyre.model.files.Json;
import dev.gyre.model.weights.Site;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.Preset;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

/// The configurations that docs/papers.md shows are ones that Gyre takes, key by key, and train what it says they train.
/// (Its command lines are held by [ShownCommandsTest].)
class PapersTest {
    private static final Pattern BLOCK = Pattern.compile("(?s)```yaml\n(.*?)```");
    private static final Pattern INLINE = Pattern.compile("`([^`\n]+)`");
    private static final Pattern SETTING = Pattern.compile("[a-z_]+(?:\\.[a-z_]+)+=[^\\s`]+");

    private static String page;
    private static String glue;
    private static String vtab;
    private static String sweep;

    @BeforeAll
    static void read() throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (!Files.isDirectory(root.resolve("docs")))
            root = root.getParent();
        page = Files.readString(root.resolve("docs/papers.md"));
        List<String> blocks = BLOCK.matcher(page).results().map(m -> m.group(1)).toList();
        assertThat(blocks).hasSize(3);
        glue = blocks.get(0);
        sweep = blocks.get(1);
        vtab = blocks.get(2);
    }

    private static TaskRunConfig task(String yaml, List<String> settings) {
        return ConfigReader.parse("docs/papers.md", yaml, TaskRunConfig.class, settings);
    }

    private static List<String> settings(String text) {
        return SETTING.matcher(text).results().map(MatchResult::group).toList();
    }

    @Test
    void everyTaskOfGlueAndEveryMethodOfTheSweepIsARun() {
        List<String> rows = page.lines().filter(l -> l.matches("\\| [A-Z0-9a-z-]+ \\| `[a-z_.]+=.*")).toList();
        assertThat(rows).hasSize(6);
        for (String row : rows)
            assertThat(task(glue, settings(row)).data().text()).as(row).isNotBlank();
        List<MatchResult> runs = Pattern.compile("(?m)^  (\\w+): \\{(.*)}$").matcher(sweep).results().toList();
        assertThat(runs).hasSize(5);
        for (MatchResult run : runs) {
            List<String> own = new ArrayList<>();
            for (String pair : run.group(2).split(", "))
                own.add(pair.replaceFirst(": ", "="));
            String method = own.getFirst().startsWith("adapter.method=") ? own.getFirst().substring(15) : "psoft";
            assertThat(task(glue, own).adapter().method()).as(run.group()).isEqualTo(method);
        }
        assertThat(task(vtab, List.of()).train().epochs()).isEqualTo(50.0);
    }

    /// `run METHOD key=value ...`, and keys that stand alone, of which each belongs to one of the configurations shown.
    @Test
    void everySettingBetweenBackticksIsOneOfARun() {
        List<String> wrong = new ArrayList<>();
        int seen = 0;
        for (MatchResult m : INLINE.matcher(page).results().toList()) {
            String text = m.group(1);
            List<String> own = settings(text);
            if (text.startsWith("run METHOD"))
                continue; // what the others stand for
            if (text.startsWith("run ")) {
                seen++;
                try {
                    ConfigReader.parse("docs/papers.md", Preset.of(text.split(" ")[1]).yaml(own, "run.yaml"),
                            RunConfig.class, List.of());
                } catch (GyreException e) {
                    wrong.add(text + ": " + e.getMessage());
                }
            } else
                if (!own.isEmpty() && !text.startsWith("./gyre") && !text.contains("task.kind")
                        && !text.startsWith("data.text=sentence1") && !text.startsWith("data.text=question ")) {
                            seen++;
                            try {
                                task(glue, own);
                            } catch (GyreException e) {
                                wrong.add(text + ": " + e.getMessage());
                            }
                        }
        }
        assertThat(wrong).isEmpty();
        assertThat(seen).isGreaterThan(20);
    }

    private static List<Site> targeted(String config, String yaml) {
        ObjectNode json = (ObjectNode) Json.MAPPER.readTree(config);
        EncoderConfig body = EncoderFamilies.parse(Path.of("config.json"), json);
        Targets targets = ((AdapterOptions) task(yaml, List.of()).adapter()).targets();
        // as a run sees them, with a head before whose modules stands the body's prefix
        EncoderConfig with =
                EncoderFamilies.parse(Path.of("config.json"), json, EncoderConfig.Problem.CLASSES, false, 2);
        assertThat(body.hiddenSize()).isEqualTo(768);
        return with.linears().stream().filter(s -> targets.matches(s.path())).toList();
    }

    /// The parameters that the page gives for the published bodies' shapes.
    @Test
    void theParametersThatThePageGivesAreThoseOfTheLayers() {
        List<Site> deberta = targeted("""
                {"model_type": "deberta-v2", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                "intermediate_size": 3072, "vocab_size": 128100, "relative_attention": true, "position_buckets": 256,
                "norm_rel_ebd": "layer_norm", "share_att_key": true, "pos_att_type": "p2c|c2p",
                "position_biased_input": false, "max_position_embeddings": 512, "type_vocab_size": 0}""", glue);
        assertThat(deberta).hasSize(72);
        assertThat(deberta.stream().mapToInt(_ -> 46 * 45 / 2 + 2 * 46).sum()).isEqualTo(81_144);
        assertThat(deberta.stream().mapToInt(s -> s.in() / 32 * (32 * 31 / 2)).sum()).isEqualTo(1_285_632);
        assertThat(deberta.stream().mapToInt(s -> s.in() - 1).sum()).isEqualTo(82_872);
        assertThat(deberta.stream().mapToInt(s -> s.in() / 8 * (8 * 7 / 2)).sum()).isEqualTo(290_304);
        assertThat(page).contains("81,144", "1,285,632", "82,872", "290,304");
        List<Site> vit = targeted("""
                {"model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                "intermediate_size": 3072, "image_size": 224, "patch_size": 16, "num_channels": 3}""", vtab);
        assertThat(vit).hasSize(72);
    }
}
