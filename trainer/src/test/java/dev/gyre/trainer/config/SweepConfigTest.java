package dev.gyre.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class SweepConfigTest {
    private static List<SweepConfig.Entry> entries(String text) {
        return ConfigReader.parse("sweep.yaml", text, SweepConfig.class, List.of()).entries();
    }

    @Test
    void everyRunMeetsEveryCellOfTheGridExceptWhatIsSkipped() {
        List<SweepConfig.Entry> all = entries("""
                run: run.yaml
                output: out
                set: {train.steps: 3}
                runs:
                  oft: {adapter.method: oft, train.lr: 4e-3}
                  full: {adapter.method: full}
                grid:
                  model.base: [f32, nf4]
                  train.lr: [1e-3, 2e-3]
                skip: [{adapter.method: full, model.base: nf4}]
                """);
        assertThat(all).extracting(SweepConfig.Entry::name).containsExactly("oft-f32-lr=1e-3", "full-f32-lr=1e-3",
                "oft-f32-lr=2e-3", "full-f32-lr=2e-3", "oft-nf4-lr=1e-3", "oft-nf4-lr=2e-3");
        assertThat(all.getFirst().settings()).as("what a run says itself is stronger than the grid").containsExactly(
                "train.steps=3", "model.base=f32", "train.lr=4e-3", "adapter.method=oft",
                "output.dir=\"out/oft-f32-lr=1e-3\"");
    }

    @Test
    void aGridAloneMakesRunsNamedAfterTheirValues() {
        assertThat(entries("{run: run.yaml, output: out, grid: {adapter.block_size: [8, 16], adapter.coft: [true]}}"))
                .extracting(SweepConfig.Entry::name)
                .containsExactly("block_size=8-coft=true", "block_size=16-coft=true");
    }

    @Test
    void whatCannotBeASweepIsNamedWithItsPlace() {
        assertThatThrownBy(() -> entries("{run: run.yaml, output: out}")).isInstanceOf(ConfigException.class)
                .hasMessageContaining("nothing to sweep");
        assertThatThrownBy(() -> entries("run: run.yaml\noutput: out\ngrd: {a: [1]}"))
                .hasMessageContaining("sweep.yaml:3:1").hasMessageContaining("did you mean 'grid'?");
        assertThatThrownBy(() -> entries("{run: run.yaml, output: out, runs: {../x: {train.lr: 1}}}"))
                .hasMessageContaining("'../x' becomes a folder");
    }

    @Test
    void everyRunOfTheShippedSweepIsAWholeConfiguration() {
        SweepConfig c = ConfigReader.read(Path.of("../examples/methods-sweep.yaml"), SweepConfig.class, List.of());
        assertThat(c.entries()).hasSize(37);
        for (SweepConfig.Entry e : c.entries())
            assertThat(ConfigReader.read(Path.of("..", c.run()), RunConfig.class, e.settings()).train().steps())
                    .as(e.name()).isEqualTo(150);
    }
}
