package dev.gyre.model.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import dev.gyre.model.format.SafeTensorsWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.options.Names;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

class PeftTest {
    @TempDir
    Path dir;

    private static PeftConfig config(String text) {
        byte[] bytes = text.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        Path file = Path.of("a", "adapter_config.json");
        return PeftConfig.parse(file, Json.parseObject(file, "", bytes, 0, bytes.length));
    }

    private static boolean older(PeftConfig c) {
        return ((Oft) c.options()).cayley() == Oft.Cayley.NEUMANN_LEGACY;
    }

    @Test
    void theGoldenAdapterIsRead() {
        PeftFile p = PeftFile.open(Golden.path("tiny-llama/adapter_oft"));
        assertThat(p.config().options().with(Targets.defaults())).isEqualTo(Oft.of(Targets.defaults(), 16));
        assertThat(p.config().options().targets().targets()).isEqualTo(new Names(
                List.of("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"), null));
        assertThat(p.config().baseModel()).isEqualTo("tiny-llama");
        assertThat(p.warnings()).isEmpty();
        assertThat(p.tensors()).hasSize(14);
        assertThat(p.modules()).hasSize(14).contains("model.layers.1.mlp.down_proj");
        assertThat(p.tensor("model.layers.1.mlp.down_proj.oft_R.weight", 10, 120).values).hasSize(1200);
        p.requireOnly(p.tensors().keySet());
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-llama/adapter_oft", "tiny-llama-nf4/adapter_oft"})
    void writingAnAdapterThatPeftWroteGivesItsBytes(String name) throws IOException {
        PeftFile p = PeftFile.open(Golden.path(name));
        PeftFile.write(dir.resolve("copy"), p.config(), p.tensors().values());
        for (String f : List.of("adapter_config.json", "adapter_model.safetensors"))
            assertThat(Files.readAllBytes(dir.resolve("copy").resolve(f)))
                    .isEqualTo(Files.readAllBytes(Golden.path(name).resolve(f)));
    }

    /// Per method: a file of its own fields with values other than the defaults.
    static Stream<String> methods() {
        return Stream.of(
                "'peft_type':'OFT','r':4,'oft_block_size':0,'coft':true,'eps':0.001,"
                        + "'block_share':true,'num_cayley_neumann_terms':7",
                "'peft_type':'PSOFT','r':46,'psoft_alpha':12.5,'psoft_dropout':0.1,'ab_svd_init':'pissa_init',"
                        + "'psoft_svd':'lowrank','psoft_svd_lowrank_niter':3,'random_seed':9,'psoft_orth':false,"
                        + "'psoft_mag_a':false,'psoft_mag_b':false,'use_cayley_neumann':true,"
                        + "'num_cayley_neumann_terms':6,'cayley_neumann_eps':0.5",
                "'peft_type':'BOFT','boft_block_size':0,'boft_block_num':8,'boft_n_butterfly_factor':2,"
                        + "'boft_dropout':0.1",
                "'peft_type':'HRA','r':6,'apply_GS':true",
                "'peft_type':'LORA','r':3,'lora_alpha':1.5,'lora_dropout':0.05,'use_rslora':true,"
                        + "'init_lora_weights':'gaussian','rank_pattern':{'a.b':4},'alpha_pattern':{'c':2.5}",
                "'peft_type':'GOFT','strict_oft':false,'no_scaling':true");
    }

    @ParameterizedTest
    @MethodSource("methods")
    void everyFieldOfEveryMethodIsReadAndWritten(String fields) {
        String common = ",'task_type':'CAUSAL_LM','peft_version':'0.19.1','base_model_name_or_path':'m',"
                + "'target_modules':['v_proj','q_proj'],'exclude_modules':'x.*','layers_to_transform':[0,2],"
                + "'layers_pattern':'layers','modules_to_save':['lm_head']}";
        PeftConfig read = config("{" + fields + common);
        PeftConfig defaults = config("{" + fields.replaceFirst(",.*", "").replace("'OFT'", "'OFT','oft_block_size':32")
                .replace("'BOFT','oft_block_size':32", "'BOFT'").replace("'PSOFT','oft_block_size':32", "'PSOFT'")
                .replace("'GOFT','oft_block_size':32", "'GOFT'") + "}");
        assertThat(read.warnings()).noneMatch(w -> w.contains("unknown"));
        JsonNode written = read.toJson();
        JsonNode plain = defaults.toJson();
        // what was given comes back, and each given value differs from the default, so none was merely defaulted
        JsonNode given = config("{" + fields + "}").toJson();
        for (String pair : fields.split(",(?=')"))
            if (!pair.contains("peft_type")) {
                String key = pair.substring(1, pair.indexOf('\'', 1));
                assertThat(given.get(key)).as(key).isNotEqualTo(plain.get(key));
                assertThat(written.get(key)).as(key).isEqualTo(given.get(key));
            }
        PeftConfig again = config(written.toString());
        assertThat(again.options().with(Targets.defaults())).isEqualTo(read.options().with(Targets.defaults()));
        assertThat(again.toJson()).isEqualTo(written);
        assertThat(again.peftVersion()).isEqualTo("0.19.1");
        assertThat(again.baseModel()).isEqualTo("m");
        assertThat(again.options().targets()).isEqualTo(new Targets(Names.of("q_proj", "v_proj"), Names.matching("x.*"),
                Targets.Bias.NONE, List.of(0, 2), List.of("layers"), List.of("lm_head")));
    }

    @Test
    void writtenFilesHoldExactlyTheFieldsOfTheMethodSorted() {
        String common = "auto_mapping base_model_name_or_path exclude_modules inference_mode layers_pattern "
                + "layers_to_transform modules_to_save peft_type peft_version revision target_modules task_type ";
        assertFields("{'peft_type':'HRA'}", common + "apply_GS bias init_weights r");
        assertFields("{'peft_type':'BOFT'}", common + "bias boft_block_num boft_block_size boft_dropout "
                + "boft_n_butterfly_factor fan_in_fan_out init_weights");
        assertFields("{'peft_type':'PSOFT'}", common + "ab_svd_init cayley_neumann_eps fan_in_fan_out init_weights "
                + "num_cayley_neumann_terms psoft_alpha psoft_dropout psoft_mag_a psoft_mag_b psoft_orth psoft_svd "
                + "psoft_svd_lowrank_niter r random_seed use_cayley_neumann");
        assertFields("{'peft_type':'LORA'}", common + "alora_invocation_tokens alpha_pattern arrow_config bias "
                + "corda_config ensure_weight_tying eva_config fan_in_fan_out init_lora_weights kasa_config "
                + "layer_replication loftq_config lora_alpha lora_bias lora_dropout lora_ga_config megatron_config "
                + "megatron_core monteclora_config qalora_group_size r rank_pattern target_parameters "
                + "trainable_token_indices use_bdlora use_dora use_qalora use_rslora velora_config");
    }

    private static void assertFields(String text, String fields) {
        JsonNode json = config(text).toJson();
        assertThat(List.copyOf(json.propertyNames())).isSorted()
                .containsExactlyInAnyOrderElementsOf(List.of(fields.split(" ")));
        assertThat(json.get("peft_version").stringValue()).isEqualTo("0.18.0");
        assertThat(json.get("inference_mode").booleanValue()).isTrue();
    }

    @Test
    void absentTargetsAreQueriesAndValues() {
        assertThat(config("{'peft_type':'HRA'}").options().targets()).isEqualTo(Targets.defaults());
        assertThat(config("{'peft_type':'HRA','target_modules':'all-linear'}").options().targets())
                .isEqualTo(Targets.allLinear());
        assertThat(
                config("{'peft_type':'HRA','target_modules':'.*q_proj','layers_to_transform':null}").options().targets()
                        .targets())
                .isEqualTo(Names.matching(".*q_proj"));
        assertThat(config("{'peft_type':'HRA','target_modules':['q_proj'],'layers_to_transform':3}").options().targets()
                .layers()).containsExactly(3);
    }

    /// Several patterns may match one module; PEFT takes the first.
    @Test
    void patternsKeepTheirOrder() {
        List<String> names = List.of("v_proj", "zz", "q_proj", "a", ".*_proj", "down_proj", "k_proj", "b", "up_proj");
        String text = String.join(",", names.stream().map(n -> "'" + n + "':3").toList());
        PeftConfig c = config("{'peft_type':'LORA','rank_pattern':{" + text + "},'alpha_pattern':{" + text + "}}");
        var lora = (Lora) c.options();
        assertThat(lora.rankPattern().keySet()).containsExactlyElementsOf(names);
        assertThat(lora.alphaPattern().keySet()).containsExactlyElementsOf(names);
        for (String key : List.of("rank_pattern", "alpha_pattern"))
            assertThat(c.toJson().get(key).propertyNames()).containsExactlyElementsOf(names);
    }

    @Test
    void startsThatLeaveTheBaseWeightsAloneAreRead() {
        for (String init : List.of("eva", "orthogonal", "gaussian"))
            assertThat(config("{'peft_type':'LORA','init_lora_weights':'" + init + "'}").warnings()).isEmpty();
    }

    @Test
    void unknownFieldsAreKeptAndReported() {
        PeftConfig c = config("{'peft_type':'HRA','future':{'a':[1]},'other':null}");
        assertThat(c.warnings()).hasSize(1).first().asString().contains("adapter_config.json", "future", "other");
        assertThat(c.toJson().get("future").toString()).isEqualTo("{\"a\":[1]}");
        assertThat(c.toJson().has("other")).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"0.17.1,true", "0.16.0,true", "0.18.0,false", "0.18.0.dev0,false", "0.20.1.dev0@UNKNOWN,false",
        "1.0.0,false", "junk,true"})
    void olderPeftVersionsMeanTheOlderPolynomial(String version, boolean older) {
        String text = "{'peft_type':'OFT','oft_block_size':32,'peft_version':'" + version + "'}";
        assertThat(older(config(text))).isEqualTo(older);
        assertThat(config(text).warnings()).hasSize(older ? 1 : 0);
        assertThat(older(config("{'peft_type':'OFT','oft_block_size':32}"))).isTrue();
        assertThat(older(config("{'peft_type':'OFT','oft_block_size':32,'use_cayley_neumann':false}")))
                .isFalse();
        // what is written again keeps its version, and with it its meaning
        assertThat(older(config(config(text).toJson().toString()))).isEqualTo(older);
    }

    @Test
    void aFileWithoutVersionKeepsItsMeaningWhenWrittenAgain() {
        PeftConfig c = config("{'peft_type':'OFT','oft_block_size':32}");
        assertThat(older(config(c.toJson().toString()))).isTrue();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {"{} | peft_type: is missing",
        "{'peft_type':'IA3'} | peft_type: \"IA3\" is not supported; expected one of OFT",
        "{'peft_type':'OFT'} | oft_block_size: is missing",
        "{'peft_type':'OFT','oft_block_size':0} | exactly one of r and oft_block_size",
        "{'peft_type':'OFT','oft_block_size':32,'r':8} | exactly one of r and oft_block_size",
        "{'peft_type':'OFT','oft_block_size':-32} | exactly one of r and oft_block_size",
        "{'peft_type':'OFT','oft_block_size':32,'eps':0} | eps: 0",
        "{'peft_type':'OFT','oft_block_size':32,'bias':'lora_only'} | bias: \"lora_only\"",
        "{'peft_type':'OFT','oft_block_size':'x'} | oft_block_size: \"x\"",
        "{'peft_type':'BOFT','boft_block_num':2} | exactly one of boft_block_size and boft_block_num",
        "{'peft_type':'HRA','r':0} | r: 0",
        "{'peft_type':'HRA','task_type':'QUESTION_ANS'} | task_type: \"QUESTION_ANS\"",
        "{'peft_type':'HRA','target_modules':'('} | target_modules",
        "{'peft_type':'HRA','target_modules':[1]} | target_modules",
        "{'peft_type':'HRA','target_modules':'.*','layers_to_transform':[1]} | layers_to_transform",
        "{'peft_type':'HRA','target_modules':['a'],'layers_pattern':'h'} | layers_pattern",
        "{'peft_type':'PSOFT','cayley_neumann_eps':1.5} | cayley_neumann_eps: 1.5",
        "{'peft_type':'PSOFT','ab_svd_init':'x'} | ab_svd_init: \"x\"",
        "{'peft_type':'PSOFT','psoft_dropout':1} | psoft_dropout: 1",
        "{'peft_type':'LORA','lora_bias':true,'use_dora':true} | lora_bias: true",
        "{'peft_type':'LORA','init_lora_weights':'pissa_niter_4'} | init_lora_weights: \"pissa_niter_4\"",
        "{'peft_type':'LORA','init_lora_weights':'corda'} | init_lora_weights: \"corda\"",
        "{'peft_type':'LORA','layer_replication':[[0,4]]} | layer_replication",
        "{'peft_type':'LORA','loftq_config':{'bits':4}} | loftq_config",
        "{'peft_type':'LORA','rank_pattern':{'a':1.5}} | rank_pattern.a: 1.5",
        "{'peft_type':'LORA','alpha_pattern':{'a':0}} | alpha_pattern.a: 0"})
    void whatCannotBeHonouredIsRefused(String text, String problem) {
        assertThatThrownBy(() -> config(text)).isInstanceOf(FormatException.class)
                .hasMessageContaining("adapter_config.json").hasMessageContaining(problem).message()
                .doesNotContain("\n");
    }

    private static List<PeftFile.Tensor> tensors(String... names) {
        List<PeftFile.Tensor> all = new ArrayList<>();
        for (String n : names)
            all.add(new PeftFile.Tensor(n, new float[] {1, 2, 3, 4, 5, 6}, 1, 6));
        return all;
    }

    private static final PeftConfig OFT = PeftConfig.of(Oft.of(Targets.allLinear(), 4), "base");

    @Test
    void allLinearIsSavedAsTheListOfModules() {
        PeftFile.write(dir.resolve("a"), OFT,
                tensors("model.layers.0.mlp.up_proj.oft_R.weight", "model.layers.0.self_attn.q_proj.oft_R.weight"));
        PeftFile p = PeftFile.open(dir.resolve("a"));
        assertThat(p.config().options().targets().targets()).isEqualTo(
                Names.of("model.layers.0.mlp.up_proj", "model.layers.0.self_attn.q_proj"));
        assertThat(p.config().peftVersion()).isEqualTo("0.18.0");
        assertThat(p.modules()).containsExactly("model.layers.0.mlp.up_proj", "model.layers.0.self_attn.q_proj");
        assertThat(p.tensor("model.layers.0.mlp.up_proj.oft_R.weight", 1, 6).values).containsExactly(1, 2, 3, 4, 5, 6);
    }

    @Test
    void anAdapterReplacesAnAdapterButNothingElse() throws IOException {
        PeftFile.write(dir.resolve("a"), OFT, tensors("x.oft_R.weight"));
        PeftFile.write(dir.resolve("a"), OFT, tensors("y.oft_R.weight"));
        assertThat(PeftFile.open(dir.resolve("a")).modules()).containsExactly("y");
        Files.createDirectory(dir.resolve("b"));
        Files.writeString(dir.resolve("b/thesis.txt"), "x");
        assertThatThrownBy(() -> PeftFile.write(dir.resolve("b"), OFT, tensors("y.oft_R.weight")))
                .isInstanceOf(FormatException.class).hasMessageContaining("exists already");
        assertThat(dir.resolve("b/thesis.txt")).exists();
    }

    @Test
    void aNamedAdapterIsFoundInItsFolderAndSeveralAreNotGuessed() {
        PeftFile.write(dir.resolve("run/adapter/mine"), OFT, tensors("x.oft_R.weight"));
        assertThat(PeftFile.open(dir.resolve("run/adapter")).directory()).isEqualTo(dir.resolve("run/adapter/mine"));
        PeftFile.write(dir.resolve("run/adapter/other"), OFT, tensors("x.oft_R.weight"));
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("run/adapter"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("mine, other");
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("run"))).hasMessageContaining("no adapter_config.json");
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("none"))).hasMessageContaining("no such directory");
    }

    @Test
    void halfPrecisionIsWidened() throws IOException {
        PeftFile.write(dir.resolve("a"), OFT, tensors("x.oft_R.weight"));
        new SafeTensorsWriter().floats("base_model.model.x.oft_R.weight", TensorType.F16,
                () -> new float[] {1, 2, 3, 4, 5, 6.5f}, 1, 6).write(dir.resolve("a/adapter_model.safetensors"));
        assertThat(PeftFile.open(dir.resolve("a")).tensor("x.oft_R.weight", 1, 6).values).containsExactly(1, 2, 3, 4, 5,
                6.5f);
    }

    @Test
    void oldLayoutsAndStrayTensorsAreRefused() throws IOException {
        PeftFile.write(dir.resolve("a"), OFT, tensors("x.oft_R.weight"));
        Path weights = dir.resolve("a/adapter_model.safetensors");
        PeftFile good = PeftFile.open(dir.resolve("a"));
        assertThatThrownBy(() -> good.requireOnly(Set.of())).hasMessageContaining("belongs to no adapted module");
        assertThatThrownBy(() -> good.requireOnly(Set.of("x.oft_R.weight", "y.oft_R.weight")))
                .isInstanceOf(FormatException.class)
                .hasMessageContaining("'base_model.model.y.oft_R.weight' is missing");
        assertThatThrownBy(() -> good.tensor("x.oft_R.weight", 2, 6)).hasMessageContaining("(1, 6), expected (2, 6)");
        new SafeTensorsWriter().f32("base_model.model.x.oft_r.default", new float[1], 1).write(weights);
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("a"))).isInstanceOf(FormatException.class)
                .hasMessageContaining("before 0.14");
        new SafeTensorsWriter().f32("x.oft_R.weight", new float[1], 1).write(weights);
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("a"))).hasMessageContaining("does not start with");
        Files.delete(weights);
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("a"))).hasMessageContaining("no such file");
        Files.writeString(dir.resolve("a/adapter_model.bin"), "x");
        assertThatThrownBy(() -> PeftFile.open(dir.resolve("a"))).hasMessageContaining("safetensors only");
    }

    @Test
    void psoftFactorsLieInAFileOfTheirOwn() {
        var psoft = PeftConfig.of(config("{'peft_type':'PSOFT'}").options(), null);
        var factor = new PeftFile.Tensor("x.psoft_A", new float[] {1, 2}, 2, 1);
        PeftFile.write(dir.resolve("a"), psoft, tensors("x.psoft_R.weight"), List.of(factor));
        PeftFile p = PeftFile.open(dir.resolve("a"));
        assertThat(p.frozen()).containsOnlyKeys("x.psoft_A");
        assertThat(p.tensors()).containsOnlyKeys("x.psoft_R.weight");
        PeftFile.write(dir.resolve("a"), psoft, tensors("x.psoft_R.weight"));
        assertThat(PeftFile.open(dir.resolve("a")).frozen()).isEqualTo(Map.of());
    }
}
