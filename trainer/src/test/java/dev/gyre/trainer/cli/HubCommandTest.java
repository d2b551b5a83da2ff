package dev.gyre.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.api.LanguageModel;
import dev.gyre.api.Models;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.hub.FakeHub;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.hub.HubException;
import dev.gyre.trainer.hub.HubName;
import dev.gyre.trainer.hub.HubSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Models by their name on the hub: downloaded, and wherever a model's path may stand.
class HubCommandTest {
    @TempDir
    static Path shared;
    private static TinyModel tiny;

    @TempDir
    Path dir;

    @BeforeAll
    static void model() {
        tiny = TinyModel.in(shared, "hidden_size: 16, intermediate_size: 16, heads: 2, kv_heads: 1");
    }

    private static final Hub.Guide NOBODY = new Hub.Guide() {
        @Override
        public void note(String text) {
            // nobody reads it
        }

        @Override
        public String called() {
            return "gyre";
        }

        @Override
        public @Nullable Path download(HubName name) {
            return null;
        }
    };

    private static <T> T with(HubSettings s, Supplier<T> body) {
        return Hub.within(s, NOBODY, body::get);
    }

    private static Cli ok(Cli c) {
        assertThat(c.code).as(c.toString()).isZero();
        return c;
    }

    @Test
    void aDownloadedModelIsUsedByItsNameWithoutANetwork() throws IOException {
        HubSettings s;
        String file;
        try (FakeHub hub = new FakeHub().folder(tiny.model())) {
            s = hub.settings(dir.resolve("cache"));
            Cli c = ok(with(s, () -> Cli.gyre("download", FakeHub.ID)));
            assertThat(c.out).contains("downloading org/tiny-model, revision 0123456: ", "(licence apache-2.0)",
                    "org/tiny-model is in " + s.cache().resolve("models--org--tiny-model/snapshots"),
                    "init --model org/tiny-model");
            assertThat(ok(with(s, () -> Cli.gyre("download", FakeHub.ID))).out).contains("all of it here already");
        }
        // the hub is gone now
        Cli again = ok(with(s, () -> Cli.gyre("download", FakeHub.ID)));
        assertThat(again.err).contains("cannot reach localhost", "the copy in the cache may be older");
        assertThat(again.err.strip().lines()).hasSize(1);
        Path run = dir.resolve("run");
        Path yaml = Files.writeString(dir.resolve("run.yaml"), """
                model: {path: %s}
                adapter: {method: oft, block_size: 8}
                data: {train: %s, valid: %s}
                train: {steps: 2, seq_len: 40, micro_batch: 2}
                results: {report: false}
                output: {dir: %s}
                """.formatted(FakeHub.ID, tiny.train(), tiny.valid(), run));
        Cli plan = ok(with(s, () -> Cli.gyre("plan", yaml)));
        assertThat(plan.err).contains("model     org/tiny-model is revision 0123456 in the Hugging Face cache (");
        String pinned = FakeHub.ID + "@" + FakeHub.COMMIT;
        assertThat(ok(with(s, () -> Cli.gyre("check", yaml))).out).contains("model     " + pinned);
        ok(with(s, () -> Cli.gyre("train", yaml)));
        // what was trained on stays known, whatever the branch does
        assertThat(Files.readString(run.resolve("run.yaml"))).contains(pinned);
        assertThat(Files.readString(run.resolve("adapter/adapter_config.json")))
                .contains("\"base_model_name_or_path\": \"org/tiny-model\"");
        assertThat(Files.readString(run.resolve("provenance.json"))).contains("snapshots/" + FakeHub.COMMIT);
        ok(with(s, () -> Cli.gyre("train", yaml, "--resume")));
        Cli byRun = ok(with(s, () -> Cli.gyre("generate", run, "--prompt", "copy a = ", "-n", 4)));
        Cli byName = ok(with(s,
                () -> Cli.gyre("generate", FakeHub.ID, "--adapter", run, "--prompt", "copy a = ", "-n", 4)));
        assertThat(byName.out).isEqualTo(byRun.out);
        ok(with(s, () -> Cli.gyre("merge", FakeHub.ID, "--adapter", run.resolve("adapter"), "--out",
                dir.resolve("merged"))));
        ok(with(s, () -> Cli.gyre("quantize", FakeHub.ID, "--out", dir.resolve("nf4"))));
        Path tokens = Files.writeString(dir.resolve("tokens.json"), "{\"input_ids\": [[1, 2, 3]]}");
        ok(with(s, () -> Cli.gyre("logits", FakeHub.ID, "--tokens", tokens, "--out", dir.resolve("l.safetensors"))));
        ok(with(s, () -> Cli.gyre("eval", pinned, tiny.valid())));
        assertThat(with(s, () -> {
            try (LanguageModel m = LanguageModel.load(Path.of(FakeHub.ID))) {
                return m.generate("copy a = ", 4);
            }
        })).isNotNull();
        // the branch moves in the cache: the run is another's
        Files.writeString(s.cache().resolve("models--org--tiny-model/refs/main"), "a".repeat(40));
        Path moved = s.cache().resolve("models--org--tiny-model/snapshots/" + "a".repeat(40));
        try (var files = Files.list(s.cache().resolve("models--org--tiny-model/snapshots/" + FakeHub.COMMIT))) {
            Files.createDirectories(moved);
            for (Path f : files.toList())
                Files.copy(f, moved.resolve(f.getFileName()));
        }
        Cli other = with(s, () -> Cli.gyre("train", yaml, "--resume"));
        assertThat(other.code).isEqualTo(ExitCode.USAGE);
        assertThat(other.err).contains("the run was started with model.path: \"" + pinned);
        ok(with(s, () -> Cli.gyre("generate", run, "--prompt", "copy a = ", "-n", 4)));
    }

    @Test
    void inAPipeTheCommandIsNamedAndOnATerminalThereIsOneQuestion() throws IOException {
        try (FakeHub hub = new FakeHub().folder(tiny.model())) {
            HubSettings s = hub.settings(dir.resolve("cache"));
            Cli pipe = with(s, () -> Cli.gyre("generate", FakeHub.ID, "--prompt", "a"));
            assertThat(pipe.code).isEqualTo(ExitCode.USAGE);
            assertThat(pipe.err).contains("org/tiny-model: no such directory, and no model of this name in the"
                    + " Hugging Face cache (" + s.cache() + "); correct the path, or download the model: gyre download"
                    + " org/tiny-model");
            assertThat(pipe.err.strip().lines()).hasSize(1);
            Path yaml = Files.writeString(dir.resolve("run.yaml"), """
                    model: {path: org/tiny-model@v1}
                    adapter: {method: lora}
                    data: {train: %s}
                    output: {dir: %s}
                    """.formatted(tiny.train(), dir.resolve("run")));
            Cli check = with(s, () -> Cli.gyre("check", yaml));
            assertThat(check.err).contains("run.yaml:1:15: 'model.path' names org/tiny-model@v1: no such directory",
                    "gyre download org/tiny-model --revision v1");
            assertThat(hub.requests).isEmpty();
            assertThatThrownBy(() -> with(s, () -> LanguageModel.load(Path.of(FakeHub.ID))))
                    .isInstanceOf(HubException.class).hasMessageContaining("gyre download org/tiny-model");

            Cli no = with(s, () -> Cli.asked("", "generate", FakeHub.ID, "--prompt", "a"));
            assertThat(no.code).isEqualTo(ExitCode.USAGE);
            assertThat(no.out).contains("org/tiny-model is not here. Download ", " into " + s.cache()
                    + " (licence apache-2.0)? [y/N] ");
            assertThat(hub.requests).allMatch(r -> r.startsWith("/api/"));
            Cli yes = ok(with(s, () -> Cli.asked("y", "check", yaml)));
            assertThat(yes.out.split("Download ", -1)).as("one question").hasSize(2);
            assertThat(ok(with(s, () -> Cli.asked("no", "generate", FakeHub.ID + "@v1", "--prompt", "a"))).out)
                    .doesNotContain("Download");
            assertThat(with(s, () -> Cli.asked("y", "generate", "org/else", "--prompt", "a")).err)
                    .contains("org/else: no such directory here, nor a model of that name in the cache, and no model"
                            + " org/else at localhost");
            assertThat(with(s, () -> Cli.gyre("download", "org/else")).err).contains("no model org/else at localhost");
            assertThat(with(s, () -> Cli.gyre("download", "tiny")).err).contains("write it as organisation/model");
            assertThat(with(s, () -> Models.download(FakeHub.ID, "v1"))).exists();
        }
    }

    @Test
    void aFolderThatIsThereWins() throws IOException {
        try (FakeHub hub = new FakeHub().folder(tiny.model())) {
            HubSettings s = hub.settings(dir.resolve("cache"));
            ok(with(s, () -> Cli.gyre("download", FakeHub.ID)));
            Path org = Path.of("org");
            try {
                Files.createDirectories(org);
                Files.createSymbolicLink(org.resolve("tiny-model"), tiny.model().toAbsolutePath());
                Cli c = ok(with(s, () -> Cli.gyre("generate", FakeHub.ID, "--prompt", "a", "-n", 2)));
                assertThat(c.err).contains("model     org/tiny-model is the folder here; the model of that name in the"
                        + " Hugging Face cache is not used");
                // next to folders that are there, a name that is not there is a slip of the pen
                assertThat(with(s, () -> Cli.asked("y", "generate", "org/tiny-modle", "--prompt", "a")).err)
                        .contains("org/tiny-modle: no such directory").doesNotContain("Hugging Face cache");
            } finally {
                Files.deleteIfExists(org.resolve("tiny-model"));
                Files.deleteIfExists(org);
            }
        }
    }
}
