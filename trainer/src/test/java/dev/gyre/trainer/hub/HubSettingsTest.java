package dev.gyre.trainer.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.Proxy;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Environment variables as huggingface_hub reads them, and names of models.
class HubSettingsTest {
    @TempDir
    Path home;

    private HubSettings of(String... env) {
        Map<String, String> map = new java.util.HashMap<>();
        for (int i = 0; i < env.length; i += 2)
            map.put(env[i], env[i + 1]);
        return HubSettings.of(n -> map.getOrDefault(n, ""), home);
    }

    @Test
    void theCacheIsWherePythonHasIt() {
        Path usual = home.resolve(".cache/huggingface/hub");
        assertThat(of().cache()).isEqualTo(usual);
        assertThat(of("XDG_CACHE_HOME", "/x").cache()).isEqualTo(Path.of("/x/huggingface/hub"));
        assertThat(of("HF_HOME", "/h", "XDG_CACHE_HOME", "/x").cache()).isEqualTo(Path.of("/h/hub"));
        assertThat(of("HF_HOME", "~/h").cache()).isEqualTo(home.resolve("h/hub"));
        assertThat(of("HF_HUB_CACHE", "/c", "HF_HOME", "/h").cache()).isEqualTo(Path.of("/c"));
        assertThat(of("HUGGINGFACE_HUB_CACHE", "/d").cache()).isEqualTo(Path.of("/d"));
        assertThat(of().endpoint()).isEqualTo(URI.create("https://huggingface.co"));
        assertThat(of("HF_ENDPOINT", "https://mirror.example/hf/").endpoint())
                .isEqualTo(URI.create("https://mirror.example/hf"));
        assertThat(of().offline()).isFalse();
        assertThat(of("HF_HUB_OFFLINE", "0").offline()).isFalse();
        assertThat(of("HF_HUB_OFFLINE", "true").offline()).isTrue();
        assertThat(of("TRANSFORMERS_OFFLINE", "1").offline()).isTrue();
        assertThat(of("HF_HUB_DISABLE_SYMLINKS", "1").links()).isFalse();
        for (String bad : new String[] {"mirror", "ftp://x", "https://", "http://a b"})
            assertThatThrownBy(() -> of("HF_ENDPOINT", bad)).isInstanceOf(HubException.class)
                    .hasMessageContaining("is no address; write it as https://huggingface.co");
    }

    @Test
    void theTokenComesFromTheEnvironmentOrItsFile() throws IOException {
        assertThat(of().token()).isNull();
        Path file = home.resolve(".cache/huggingface/token");
        Files.createDirectories(file.getParent());
        Files.writeString(file, "hf_file\n");
        assertThat(of().token()).isEqualTo("hf_file");
        assertThat(of("HF_TOKEN", " hf_env ").token()).isEqualTo("hf_env");
        assertThat(of("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").token()).isNull();
        assertThat(of("HF_TOKEN", "hf_env", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").token()).isEqualTo("hf_env");
        Path other = Files.writeString(home.resolve("other"), "hf_other");
        assertThat(of("HF_TOKEN_PATH", other.toString()).token()).isEqualTo("hf_other");
        assertThatThrownBy(() -> of("HF_TOKEN", "hf_a b")).hasMessageContaining("HF_TOKEN holds what cannot be a token")
                .hasMessageNotContaining("hf_a");
    }

    @Test
    void proxiesAreThoseOfTheEnvironment() {
        HubSettings s = of("HTTPS_PROXY", "http://proxy.example:3128", "no_proxy", "localhost,.intern");
        assertThat(s.proxies().select(URI.create("https://huggingface.co/x")).getFirst())
                .hasToString("HTTP @ proxy.example/<unresolved>:3128");
        assertThat(s.proxies().select(URI.create("https://a.intern/x")).getFirst()).isEqualTo(Proxy.NO_PROXY);
        assertThat(s.proxies().select(URI.create("http://localhost/x")).getFirst()).isEqualTo(Proxy.NO_PROXY);
        assertThatThrownBy(() -> of("HTTPS_PROXY", "socks5://u:secret@h:1")).hasMessageContaining("HTTPS_PROXY is no")
                .hasMessageNotContaining("secret");
    }

    @ParameterizedTest
    @CsvSource({"Qwen/Qwen3-0.6B, Qwen/Qwen3-0.6B", "https://huggingface.co/Qwen/Qwen3-0.6B/, Qwen/Qwen3-0.6B",
        "hf.co/a/b, ", "a/b@v1.0, a/b@v1.0", "a/b@refs/pr/1, a/b@refs/pr/1", "gpt2, ", "a/b/c, ", "../b, ", "a/.., ",
        "a/b--c, ", "a/b.git, ", "a/b@../x, ", "a/b@, ", "./a, ", "-a/b, ", "a/b c, "})
    void namesOfModels(String text, String name) {
        if (name == null)
            assertThatThrownBy(() -> HubName.require(text)).isInstanceOf(HubException.class)
                    .hasMessageContaining("is no name of a Hugging Face model");
        else
            assertThat(HubName.require(text)).hasToString(name);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/a/b", "a", "./a/b", "runs/x/y", "~/x"})
    void pathsThatAreNoNames(String path) {
        assertThat(HubName.of(Path.of(path))).isNull();
    }
}
