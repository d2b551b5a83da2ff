package dev.gyre.model.family;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.kernels.op.Activation;
import dev.gyre.model.family.ModelConfig.Attention;
import dev.gyre.model.family.ModelConfig.Bias;
import dev.gyre.model.family.ModelConfig.Mlp;
import dev.gyre.model.family.ModelConfig.Multipliers;
import dev.gyre.model.family.ModelConfig.NormPlacement;
import dev.gyre.model.family.ModelConfig.Norms;
import dev.gyre.model.family.ModelConfig.Positions;
import dev.gyre.model.family.ModelConfig.QkNorm;
import dev.gyre.model.family.ModelConfig.Rotary;
import dev.gyre.model.family.ModelConfig.Shape;
import dev.gyre.model.family.ModelConfig.Sight;
import dev.gyre.model.family.ModelConfig.StoredAs;
import dev.gyre.model.family.ModelConfig.Tokens;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.Golden;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class HfConfigTest {
    private static final String SIZES = "'vocab_size':96,'hidden_size':64,'intermediate_size':160,"
            + "'num_hidden_layers':3,'num_attention_heads':4,'num_key_value_heads':2";

    /// One factor for each pair of a head of 24 values.
    private static final List<Double> TWELVE = List.of(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5);

    /// A config.json of the given family and sizes with more keys, in single quotes.
    private static ModelConfig config(String family, String more) {
        String text = ("{'model_type':'" + family + "'," + SIZES + more + "}").replace('\'', '"');
        return parse(text);
    }

    private static ModelConfig parse(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        Path file = Path.of("m", "config.json");
        return HfConfig.parse(file, Json.parseObject(file, "", bytes, 0, bytes.length));
    }

    @Test
    void theGoldenModelsAreRead() {
        ModelConfig c = HfConfig.read(Golden.path("tiny-llama/config.json"));
        assertThat(c).isEqualTo(new ModelConfig(new Llama(), new Shape(128, 64, 2, false),
                new Attention(4, 2, 16, Bias.NONE, QkNorm.NONE),
                new Positions(128, new Rotary(10000, new RopeScaling.Default()), List.of(0, 0)), new Mlp(160, false),
                new Norms(NormPlacement.BEFORE, 1e-5), new Tokens(1, List.of(2), null),
                new StoredAs("float32", null)));
        assertThat(c.parameters()).isEqualTo(410880 / 4);
        ModelConfig q = HfConfig.read(Golden.path("tiny-llama-nf4/config.json"));
        assertThat(q.stored().quantization()).isNotNull();
        assertThat(q.stored().quantization().doubleQuant()).isTrue();
        assertThat(q.stored().quantization().skipModules()).isEmpty();
    }

    @Test
    void absentKeysTakeTheDefaultsOfTheFamily() {
        String few = "'vocab_size':9,'hidden_size':256,'intermediate_size':16,'num_hidden_layers':2,"
                + "'num_attention_heads':32";
        ModelConfig llama = parse(("{'model_type':'llama'," + few + "}").replace('\'', '"'));
        assertThat(llama.attention().kvHeads()).isEqualTo(32);
        assertThat(llama.attention().headDim()).isEqualTo(8);
        assertThat(llama.norms().eps()).isEqualTo(1e-6);
        assertThat(llama.tieWordEmbeddings()).isFalse();
        assertThat(llama.positions().rotaries().getFirst().theta()).isEqualTo(10000);
        assertThat(llama.positions().windows()).containsExactly(0, 0);
        assertThat(llama.attention().bias()).isEqualTo(Bias.NONE);
        assertThat(llama.attention().qkNorm()).isEqualTo(QkNorm.NONE);
        assertThat(llama.mlp().bias()).isFalse();
        assertThat(llama.tokens().eos()).isEmpty();
        ModelConfig mistral = parse(("{'model_type':'mistral'," + few + "}").replace('\'', '"'));
        assertThat(mistral.attention().kvHeads()).isEqualTo(8);
        assertThat(mistral.positions().windows()).containsExactly(4096, 4096);
        ModelConfig qwen2 = parse(("{'model_type':'qwen2'," + few + "}").replace('\'', '"'));
        assertThat(qwen2.attention().kvHeads()).isEqualTo(32);
        assertThat(qwen2.positions().windows()).containsExactly(0, 0);
        assertThat(qwen2.attention().bias()).isEqualTo(Bias.QKV);
        assertThat(qwen2.attention().qkNorm()).isEqualTo(QkNorm.NONE);
        assertThat(qwen2.mlp().bias()).isFalse();
        ModelConfig qwen3 = parse(("{'model_type':'qwen3'," + few + "}").replace('\'', '"'));
        assertThat(qwen3.attention().headDim()).isEqualTo(128);
        assertThat(qwen3.attention().qkNorm()).isEqualTo(QkNorm.PER_HEAD);
        assertThat(qwen3.attention().bias()).isEqualTo(Bias.NONE);
        ModelConfig nulls = parse(("{'model_type':'mistral'," + few
                + ",'num_key_value_heads':null,'head_dim':null,'sliding_window':null}").replace('\'', '"'));
        assertThat(nulls.attention().kvHeads()).isEqualTo(32);
        assertThat(nulls.attention().headDim()).isEqualTo(8);
        assertThat(nulls.positions().windows()).containsExactly(0, 0);
    }

    @Test
    void smolLm3SaysWhichLayersHaveRotaryPositions() {
        ModelConfig c = config("smollm3", ",'no_rope_layers':[1,0,1,0],'use_sliding_window':true,'sliding_window':7");
        assertThat(c.positions().layers()).containsExactly(new Sight(0, new Rotary(2e6, new RopeScaling.Default())),
                new Sight(7, null), new Sight(0, new Rotary(2e6, new RopeScaling.Default())));
        assertThat(c.tieWordEmbeddings()).isTrue();
        ModelConfig interval = config("smollm3", ",'no_rope_layer_interval':3,'rope_theta':5e6");
        assertThat(interval.positions().layers().stream().map(Sight::rotary)).containsExactly(
                new Rotary(5e6, new RopeScaling.Default()), new Rotary(5e6, new RopeScaling.Default()), null);
        assertThat(interval.positions().windows()).containsExactly(0, 0, 0);
        assertThat(config("smollm3", ",'use_sliding_window':true,'sliding_window':7,'no_rope_layers':[1,0,1],"
                + "'layer_types':['sliding_attention','full_attention','full_attention']").positions().windows())
                .containsExactly(7, 0, 0);
    }

    @Test
    void gemmasAlternateWindowsAndScaleByTheRoots() {
        ModelConfig two = config("gemma2", ",'head_dim':16,'query_pre_attn_scalar':64,'hidden_act':'relu'");
        assertThat(two.positions().windows()).containsExactly(4096, 0, 4096);
        assertThat(two.attention()).isEqualTo(new Attention(4, 2, 16, Bias.NONE, QkNorm.NONE, 0.125, 50, false));
        assertThat(two.multipliers()).isEqualTo(new Multipliers(8, 1, 1, 30));
        assertThat(two.norms()).isEqualTo(new Norms(NormPlacement.AROUND, 1e-6, 1));
        assertThat(two.mlp()).isEqualTo(new Mlp(160, false, Activation.GELU_TANH, false));
        assertThat(two.tieWordEmbeddings()).isTrue();
        assertThat(config("gemma2", "").attention().headDim()).isEqualTo(256);
        ModelConfig uncapped = config("gemma2", ",'attn_logit_softcapping':null,'final_logit_softcapping':null");
        assertThat(uncapped.attention().softCap()).isZero();
        assertThat(uncapped.multipliers().softCap()).isZero();
    }

    @Test
    void gemma3HasRotaryPositionsByKindOfLayer() {
        var plain = new RopeScaling.Default();
        Sight local = new Sight(512, new Rotary(1e4, plain));
        ModelConfig c = config("gemma3_text", ",'sliding_window':512,'sliding_window_pattern':3");
        assertThat(c.positions().layers()).containsExactly(local, local, new Sight(0, new Rotary(1e6, plain)));
        assertThat(c.attention().qkNorm()).isEqualTo(QkNorm.PER_HEAD);
        assertThat(c.multipliers()).isEqualTo(new Multipliers(8, 1, 1, 0));
        assertThat(config("gemma3_text", ",'sliding_window':512").positions().windows())
                .containsExactly(512, 512, 512);
        // the older layout, then the newer one
        String types = ",'sliding_window':512,'layer_types':['full_attention','sliding_attention','full_attention']";
        Sight full = new Sight(0, new Rotary(5e5, new RopeScaling.Linear(8)));
        Sight other = new Sight(512, new Rotary(2e4, plain));
        assertThat(config("gemma3_text", types + ",'rope_theta':500000.0,'rope_local_base_freq':20000.0,"
                + "'rope_scaling':{'factor':8.0,'rope_type':'linear'}").positions().layers())
                .containsExactly(full, other, full);
        assertThat(config("gemma3_text", types + ",'rope_parameters':{'full_attention':{'rope_type':'linear',"
                + "'factor':8.0,'rope_theta':500000.0},'sliding_attention':{'rope_type':'default',"
                + "'rope_theta':20000.0}}").positions().layers()).containsExactly(full, other, full);
        assertThat(config("gemma3_text", types + ",'rope_theta':500000.0,'rope_parameters':{'sliding_attention':"
                + "{'rope_theta':20000.0}}").positions().layers())
                .containsExactly(new Sight(0, new Rotary(5e5, plain)), other, new Sight(0, new Rotary(5e5, plain)));
    }

    @Test
    void phi3KeepsProjectionsInOneWeightAndMayRotateAPart() {
        ModelConfig c = config("phi3", ",'sliding_window':7,'partial_rotary_factor':0.75,"
                + "'original_max_position_embeddings':64,'rope_scaling':{'type':'su','short_factor':[1,1,1,1,1,1],"
                + "'long_factor':[2,2,2,2,2,2]}");
        Rotary rotary = c.positions().rotaries().getFirst();
        assertThat(rotary.share()).isEqualTo(0.75);
        assertThat(rotary.dims(16)).isEqualTo(12);
        List<Double> ones = List.of(1.0, 1.0, 1.0, 1.0, 1.0, 1.0);
        List<Double> twos = List.of(2.0, 2.0, 2.0, 2.0, 2.0, 2.0);
        assertThat(rotary.scaling()).isEqualTo(new RopeScaling.LongRope(ones, twos, 64, null, null));
        assertThat(c.positions().windows()).containsExactly(7, 7, 7);
        assertThat(c.tensorShapes()).containsEntry("model.layers.0.self_attn.qkv_proj.weight", List.of(128L, 64L))
                .containsEntry("model.layers.2.mlp.gate_up_proj.weight", List.of(320L, 64L))
                .doesNotContainKey("model.layers.0.self_attn.q_proj.weight").hasSize(3 + 3 * (4 + 2));
        // the newer layout; an original length inside the object does not count
        assertThat(config("phi3", ",'sliding_window':7,'original_max_position_embeddings':64,'rope_parameters':{"
                + "'rope_type':'longrope','partial_rotary_factor':0.75,'short_factor':[1,1,1,1,1,1],"
                + "'long_factor':[2,2,2,2,2,2],'original_max_position_embeddings':9}")).isEqualTo(c);
        assertThat(config("phi3", "").positions().rotaries())
                .containsExactly(new Rotary(10000, new RopeScaling.Default()));
        assertThat(config("phi3", "").norms().eps()).isEqualTo(1e-5);
    }

    @Test
    void graniteHasItsFactors() {
        ModelConfig c = config("granite", ",'attention_multiplier':0.0078125,'embedding_multiplier':12,"
                + "'residual_multiplier':0.22,'logits_scaling':8");
        assertThat(c.attention().scale()).isEqualTo(0.0078125);
        assertThat(c.multipliers()).isEqualTo(new Multipliers(12, 0.22, 8, 0));
        assertThat(config("granite", "").attention().scale()).isEqualTo(1);
        assertThat(config("granite", "").multipliers()).isEqualTo(Multipliers.NONE);
        assertThat(config("llama", ",'attention_multiplier':0.5,'logits_scaling':8").attention().scale())
                .isEqualTo(0.25);
    }

    @Test
    void biasKeysCountOnlyWhereTheFamilyKnowsThem() {
        ModelConfig llama = config("llama", ",'attention_bias':true,'mlp_bias':true");
        assertThat(llama.attention().bias()).isEqualTo(Bias.ALL);
        assertThat(llama.mlp().bias()).isTrue();
        ModelConfig qwen3 = config("qwen3", ",'attention_bias':true,'mlp_bias':true");
        assertThat(qwen3.attention().bias()).isEqualTo(Bias.ALL);
        assertThat(qwen3.mlp().bias()).isFalse();
        ModelConfig mistral = config("mistral", ",'attention_bias':true");
        assertThat(mistral.attention().bias()).isEqualTo(Bias.NONE);
        ModelConfig qwen2 = config("qwen2", ",'attention_bias':false");
        assertThat(qwen2.attention().bias()).isEqualTo(Bias.QKV);
    }

    @Test
    void endOfTextMayBeAListAndNegativePaddingIsNone() {
        ModelConfig c = config("llama", ",'bos_token_id':1,'eos_token_id':[2,7],'pad_token_id':-1");
        assertThat(c.tokens().eos()).containsExactly(2, 7);
        assertThat(c.tokens().bos()).isEqualTo(1);
        assertThat(c.tokens().pad()).isNull();
        assertThat(config("llama", ",'eos_token_id':2").tokens().eos()).containsExactly(2);
    }

    @Test
    void rotaryParametersAreReadFromEitherLayout() {
        var llama3 = new RopeScaling.Llama3(32, 1, 4, 8192);
        String dict = "{'rope_type':'llama3','factor':32.0,'low_freq_factor':1.0,'high_freq_factor':4.0,"
                + "'original_max_position_embeddings':8192";
        ModelConfig four = config("llama", ",'rope_theta':500000.0,'rope_scaling':" + dict + "}");
        ModelConfig five = config("llama", ",'rope_parameters':" + dict + ",'rope_theta':500000.0}");
        assertThat(four.positions().rotaries().getFirst().scaling()).isEqualTo(llama3);
        assertThat(four.positions().rotaries().getFirst().theta()).isEqualTo(500000);
        assertThat(five).isEqualTo(four);
        // an older key for the type
        assertThat(config("llama", ",'rope_scaling':{'type':'linear','factor':2}").positions().rotaries().getFirst()
                .scaling())
                .isEqualTo(new RopeScaling.Linear(2));
        // rope_scaling wins over rope_parameters, a theta inside the chosen object over the outer one
        ModelConfig both = config("llama", ",'rope_theta':5,'rope_parameters':{'rope_type':'dynamic','factor':3,"
                + "'rope_theta':7},'rope_scaling':{'type':'linear','factor':2}");
        assertThat(both.positions().rotaries().getFirst().scaling()).isEqualTo(new RopeScaling.Linear(2));
        assertThat(both.positions().rotaries().getFirst().theta()).isEqualTo(5);
        ModelConfig inner = config("llama", ",'rope_theta':5,'rope_scaling':null,'rope_parameters':"
                + "{'rope_type':'default','rope_theta':7}");
        assertThat(inner.positions().rotaries().getFirst().theta()).isEqualTo(7);
        assertThat(inner.positions().rotaries().getFirst().scaling()).isEqualTo(new RopeScaling.Default());
        // an empty object says nothing
        assertThat(config("llama", ",'rope_scaling':{},'rope_parameters':{'rope_type':'linear','factor':3,"
                + "'rope_theta':7}")).isEqualTo(config("llama", ",'rope_theta':7,'rope_scaling':{'type':'linear',"
                        + "'factor':3}"));
        // the original length beside the object wins over the one inside
        assertThat(config("llama", ",'original_max_position_embeddings':4096,'rope_scaling':" + dict + "}")
                .positions().rotaries().getFirst().scaling()).isEqualTo(new RopeScaling.Llama3(32, 1, 4, 4096));
        // Python's `or`: 0 is as good as null for the two betas; a truncate of null is false
        assertThat(config("qwen2", ",'max_position_embeddings':512,'rope_scaling':{'type':'yarn','factor':4,"
                + "'beta_fast':0,'beta_slow':0,'attention_factor':0,'truncate':null}").positions().rotaries().getFirst()
                .scaling())
                .isEqualTo(new RopeScaling.Yarn(4, 512, 32, 1, 0.0, null, null, false));
        assertThat(config("qwen2", ",'max_position_embeddings':512,'rope_scaling':{'type':'yarn','factor':4,"
                + "'beta_fast':null,'attention_factor':null}").positions().rotaries().getFirst().scaling())
                .isEqualTo(new RopeScaling.Yarn(4, 512, 32, 1, null, null, null, true));
        for (String bad : new String[] {",'rope_theta':0", ",'rope_theta':-1",
            ",'rope_scaling':{'type':'yarn','factor':4,'beta_fast':-1}"})
            assertThatThrownBy(() -> config("llama", bad)).isInstanceOf(FormatException.class)
                    .hasMessageContaining("positive");
        assertThat(config("qwen2", ",'max_position_embeddings':512,'rope_scaling':{'type':'yarn','factor':4,"
                + "'mscale':0.7,'mscale_all_dim':1,'truncate':false,'beta_fast':16}").positions().rotaries().getFirst()
                .scaling())
                .isEqualTo(new RopeScaling.Yarn(4, 512, 16, 1, null, 0.7, 1.0, false));
    }

    @Test
    void slidingWindowsFollowTheFamilysRule() {
        assertThat(config("llama", ",'sliding_window':16").positions().windows()).containsExactly(0, 0, 0);
        assertThat(config("mistral", ",'sliding_window':16").positions().windows()).containsExactly(16, 16, 16);
        // what transformers reads as Ministral
        assertThat(config("mistral", ",'sliding_window':16,'layer_types':['full_attention','sliding_attention',"
                + "'full_attention']").positions().windows()).containsExactly(0, 16, 0);
        assertThat(config("mistral", ",'sliding_window':16,'layer_types':null").positions().windows())
                .containsExactly(16, 16, 16);
        assertThat(config("mistral", ",'sliding_window':null,'layer_types':['full_attention','full_attention',"
                + "'full_attention']").positions().windows()).containsExactly(0, 0, 0);
        assertThat(config("qwen2", ",'sliding_window':16,'max_window_layers':1").positions().windows())
                .containsExactly(0, 0, 0);
        assertThat(config("qwen2", ",'sliding_window':16,'max_window_layers':1,'use_sliding_window':true").positions()
                .windows())
                .containsExactly(0, 16, 16);
        assertThat(config("qwen3", ",'sliding_window':16,'max_window_layers':1,'use_sliding_window':true,"
                + "'layer_types':['sliding_attention','full_attention','sliding_attention']").positions().windows())
                .containsExactly(16, 0, 16);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "bloom || model_type: \"bloom\" | \"qwen3\"",
        "llama | ,'hidden_act':'relu' | hidden_act: \"relu\" | silu",
        "gemma2 | ,'hidden_activation':'relu' | hidden_activation: \"relu\" | gelu_pytorch_tanh",
        "gemma2 | ,'use_bidirectional_attention':true | use_bidirectional_attention: true | false",
        "gemma2 | ,'attn_logit_softcapping':-1 | attn_logit_softcapping: -1 | positive",
        "gemma2 | ,'final_logit_softcapping':0 | final_logit_softcapping: 0 | positive",
        "gemma2 | ,'query_pre_attn_scalar':-4 | scale NaN | correct",
        "gemma2 | ,'sliding_window':null | sliding_window: null | positive",
        "gemma2 | ,'rope_parameters':{'full_attention':{}} | rope_parameters.full_attention | all layers",
        "gemma3_text | ,'attn_logit_softcapping':50 | attn_logit_softcapping: 50 | null",
        "gemma3_text | ,'use_bidirectional_attention':true | use_bidirectional_attention: true | false",
        "gemma3_text | ,'sliding_window_pattern':0 | sliding_window_pattern: 0 | positive",
        "gemma3_text | ,'rope_parameters':{'rope_theta':7} | rope_parameters.rope_theta: 7 | sliding_attention",
        "gemma3_text | ,'rope_scaling':{'rope_type':'dynamic','factor':2} | rope_scaling.rope_type: \"dynamic\" | linear",
        "gemma3_text | ,'rope_scaling':{'rope_type':'linear','factor':2},'rope_parameters':{'full_attention':{}} | rope_scaling | rope_parameters.full_attention",
        "phi3 | ,'rope_scaling':{'rope_type':'linear','factor':2} | rope_scaling.rope_type: \"linear\" | longrope",
        "phi3 | ,'rope_scaling':{'type':'su'} | rope_scaling.short_factor: is missing | positive numbers",
        "phi3 | ,'partial_rotary_factor':0.2 | partial_rotary_factor 0.2 gives 3 | pairs",
        "phi3 | ,'partial_rotary_factor':2 | partial_rotary_factor 2.0 | (0, 1]",
        "phi3 | ,'original_max_position_embeddings':1 | original_max_position_embeddings: 1 | 2 or more",
        "llama | ,'rope_scaling':{'type':'proportional','factor':2} | rope_scaling.type: \"proportional\" | yarn",
        "llama | ,'rope_scaling':{'type':'longrope','factor':2} | rope_scaling.short_factor: is missing | positive numbers",
        "llama | ,'rope_scaling':{'type':'longrope','short_factor':[1,2],'long_factor':[1,0]} | rope_scaling.long_factor | positive numbers",
        "llama | ,'rope_scaling':{'type':'longrope','short_factor':[1,2],'long_factor':[1]} | rope_scaling.long_factor: [1] | 2 numbers",
        "llama | ,'rope_scaling':{'type':'longrope','short_factor':[1,2],'long_factor':[1,2]} | 2 numbers for 8 pairs | correct",
        "granite | ,'attention_multiplier':0 | scale 0.0 | correct",
        "granite | ,'logits_scaling':0 | logits_scaling 0.0 | correct",
        "granite | ,'residual_multiplier':'x' | residual_multiplier: \"x\" | a number",
        "smollm3 | ,'no_rope_layers':[1,0] | no_rope_layers: [1,0] | 3 layers",
        "smollm3 | ,'no_rope_layers':[1,0,2] | no_rope_layers: [1,0,2] | 0 or 1",
        "smollm3 | ,'no_rope_layer_interval':0 | no_rope_layer_interval: 0 | positive",
        "smollm3 | ,'sliding_window':8,'layer_types':['full_attention','full_attention','sliding_attention'] | layer_types | use_sliding_window",
        "llama | ,'rope_scaling':{'rope_type':'linear'} | rope_scaling.factor: is missing | a number",
        "llama | ,'rope_scaling':{'rope_type':'linear','factor':0} | rope_scaling.factor: 0 | from 1",
        "llama | ,'rope_scaling':7 | rope_scaling: 7 | an object",
        "llama | ,'rope_parameters':{'full_attention':{}} | rope_parameters.full_attention | all layers",
        "llama | ,'rms_norm_eps':0 | rms_norm_eps | positive",
        "llama | ,'rms_norm_eps':'x' | rms_norm_eps: \"x\" | a number",
        "llama | ,'head_dim':15 | head_dim 15 | odd",
        "llama | ,'head_dim':-16 | head_dim -16 | positive",
        "llama | ,'tie_word_embeddings':'yes' | tie_word_embeddings | true or false",
        "llama | ,'eos_token_id':[1,'x'] | eos_token_id | whole number",
        "llama | ,'partial_rotary_factor':0.5 | partial_rotary_factor: 0.5 | 1",
        "mistral | ,'sliding_window':-3 | sliding_window: -3 | positive",
        "llama | ,'rope_scaling':{'type':'dynamic','factor':2},'original_max_position_embeddings':-4 | original_max_position_embeddings: -4 | positive",
        "mistral | ,'sliding_window':null,'layer_types':['full_attention','full_attention','sliding_attention'] | layer_types | sliding_window is set",
        "mistral | ,'layer_types':['full_attention'] | layer_types | 3 entries",
        "qwen2 | ,'layer_types':['full_attention'] | layer_types | 3 entries",
        "qwen2 | ,'layer_types':['full_attention','full_attention','linear_attention'] | layer_types | sliding_attention",
        "qwen2 | ,'layer_types':['full_attention','full_attention','sliding_attention'] | layer_types | use_sliding_window",
        "llama | ,'quantization_config':{'quant_method':'gptq'} | quantization_config.quant_method: \"gptq\" | bitsandbytes",
        "llama | ,'quantization_config':{'quant_method':'bitsandbytes','load_in_8bit':true} | load_in_8bit: true | NF4",
        "llama | ,'quantization_config':{'load_in_4bit':true} | bnb_4bit_quant_type: is missing | nf4",
        "llama | ,'quantization_config':{'load_in_4bit':true,'bnb_4bit_quant_type':'fp4'} | bnb_4bit_quant_type: \"fp4\" | nf4"})
    void whatIsNotSupportedIsNamedWithFileKeyValueAndRemedy(String family, String more, String problem,
            String remedy) {
        assertThatThrownBy(() -> config(family, more == null ? "" : more)).isInstanceOf(FormatException.class)
                .hasMessageContaining("config.json").hasMessageContaining(problem).hasMessageContaining(remedy);
    }

    @ParameterizedTest
    @ValueSource(strings = {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads"})
    void sizesMustBeThereAndReasonable(String key) {
        String whole = ("{'model_type':'llama'," + SIZES + "}").replace('\'', '"');
        String without = whole.replaceFirst("\"" + key + "\":\\d+,", "");
        assertThatThrownBy(() -> parse(without)).isInstanceOf(FormatException.class).hasMessageContaining(key);
        for (String value : List.of("0", "-1", "1.5", "\"64\"", "2000000000000", "null"))
            assertThatThrownBy(() -> parse(whole.replaceFirst("(\"" + key + "\"):\\d+", "$1:" + value)))
                    .as(value).isInstanceOf(FormatException.class).hasMessageContaining(key);
    }

    @Test
    void brokenJsonIsLocated() {
        assertThatThrownBy(() -> parse("{\"model_type\": \"llama\",\n  \"a\": }")).isInstanceOf(FormatException.class)
                .hasMessageContaining("config.json").hasMessageContaining("line 2");
        assertThatThrownBy(() -> parse("{\"a\":1,\"a\":2}")).isInstanceOf(FormatException.class)
                .hasMessageContaining("Duplicate");
    }

    /// A configuration with every feature that a family's config.json can say, by model type; a family that is
    /// registered without an entry here fails.
    private static ModelConfig everything(Family family, RopeScaling scaling) {
        Attention biased = new Attention(4, 2, 24, Bias.ALL, QkNorm.NONE);
        Attention plain = new Attention(4, 2, 24, Bias.NONE, QkNorm.NONE);
        return switch (family.modelType()) {
            case "llama" -> config(family, biased, scaling, List.of(0, 0, 0), true, NormPlacement.BEFORE);
            case "mistral" -> config(family, plain, scaling, List.of(0, 24, 0), false, NormPlacement.BEFORE);
            case "qwen2" -> config(family, new Attention(4, 2, 24, Bias.QKV, QkNorm.NONE), scaling,
                    List.of(0, 24, 24), false, NormPlacement.BEFORE);
            case "qwen3" -> config(family, new Attention(4, 2, 24, Bias.ALL, QkNorm.PER_HEAD), scaling,
                    List.of(24, 0, 24), false, NormPlacement.BEFORE);
            case "gemma2" -> new ModelConfig(family, new Shape(96, 64, 3, true), biased.scaled(0.125).capped(50),
                    new Positions(128, new Rotary(1e6, scaling), List.of(24, 0, 24)),
                    new Mlp(160, false, Activation.GELU_TANH, false), new Norms(NormPlacement.AROUND, 1e-5, 1),
                    new Multipliers(8, 1, 1, 30), new Tokens(1, List.of(2, 3), null), new StoredAs("bfloat16", null));
            case "gemma3_text" -> new ModelConfig(family, new Shape(96, 64, 3, true),
                    new Attention(4, 2, 24, Bias.ALL, QkNorm.PER_HEAD).scaled(0.125),
                    new Positions(128, List.of(new Sight(24, new Rotary(1e4, new RopeScaling.Default())),
                            new Sight(0, new Rotary(1e6, scaling instanceof RopeScaling.LongRope
                                    || scaling instanceof RopeScaling.Dynamic ? new RopeScaling.Default() : scaling)),
                            new Sight(24, new Rotary(1e4, new RopeScaling.Default())))),
                    new Mlp(160, false, Activation.GELU_TANH, false), new Norms(NormPlacement.AROUND, 1e-5, 1),
                    new Multipliers(8, 1, 1, 30), new Tokens(1, List.of(2, 3), null), new StoredAs("bfloat16", null));
            case "phi3" -> {
                boolean longer = scaling instanceof RopeScaling.LongRope;
                yield new ModelConfig(family, new Shape(96, 64, 3, true), plain.inOneModule(),
                        new Positions(128, longer ? new Rotary(1e6, scaling)
                                : new Rotary(1e6, 0.75, new RopeScaling.Default()), List.of(24, 24, 24)),
                        new Mlp(160, false).inOneModule(), new Norms(NormPlacement.BEFORE, 1e-5),
                        new Tokens(1, List.of(2, 3), null), new StoredAs("bfloat16", null));
            }
            case "granite" -> new ModelConfig(family, new Shape(96, 64, 3, true), biased.scaled(0.25),
                    new Positions(128, new Rotary(1e6, scaling), List.of(0, 0, 0)), new Mlp(160, true),
                    new Norms(NormPlacement.BEFORE, 1e-5), new Multipliers(12, 0.22, 8, 0),
                    new Tokens(1, List.of(2, 3), null),
                    new StoredAs("bfloat16", null));
            case "smollm3" -> new ModelConfig(family, new Shape(96, 64, 3, true), biased,
                    new Positions(128, List.of(new Sight(0, new Rotary(1e6, scaling)), new Sight(24, null),
                            new Sight(24, new Rotary(1e6, scaling)))),
                    new Mlp(160, true), new Norms(NormPlacement.BEFORE, 1e-5), new Tokens(1, List.of(2, 3), null),
                    new StoredAs("bfloat16", null));
            case "olmo2" -> config(family, new Attention(4, 2, 24, Bias.ALL, QkNorm.WHOLE), scaling,
                    List.of(0, 0, 0), false, NormPlacement.AFTER);
            default -> throw new AssertionError("no configuration of " + family + " is tried");
        };
    }

    private static ModelConfig config(Family family, Attention attention, RopeScaling scaling, List<Integer> windows,
            boolean mlpBias, NormPlacement norms) {
        return new ModelConfig(family, new Shape(96, 64, 3, true), attention,
                new Positions(128, new Rotary(1e6, scaling), windows), new Mlp(160, mlpBias), new Norms(norms, 1e-5),
                new Tokens(1, List.of(2, 3), null), new StoredAs("bfloat16", null));
    }

    static List<Family> families() {
        return Families.all();
    }

    @ParameterizedTest
    @MethodSource("families")
    void aWrittenConfigurationReadsBackEqual(Family family) {
        for (RopeScaling scaling : List.of(new RopeScaling.Default(), new RopeScaling.Linear(2.5),
                new RopeScaling.Dynamic(2), new RopeScaling.Llama3(8, 1, 4, 64),
                new RopeScaling.Yarn(4, 32, 32, 1, null, 0.7, 1.0, true),
                new RopeScaling.Yarn(4, 32, 16, 2, 1.1, null, null, false),
                new RopeScaling.LongRope(TWELVE, TWELVE.reversed(), 64, null, null),
                new RopeScaling.LongRope(TWELVE, TWELVE, 64, 2.0, 1.1))) {
            ModelConfig c = everything(family, scaling);
            assertThat(parse(Json.pretty(HfConfig.toJson(c)))).isEqualTo(c);
        }
    }

    @Test
    void aWindowInAllLayersReadsBackEqual() {
        ModelConfig c = config(new Mistral(), new Attention(4, 2, 24, Bias.NONE, QkNorm.NONE),
                new RopeScaling.Default(), List.of(24, 24, 24), false, NormPlacement.BEFORE);
        assertThat(HfConfig.toJson(c).has("layer_types")).isFalse();
        assertThat(parse(Json.pretty(HfConfig.toJson(c)))).isEqualTo(c);
    }

    @Test
    void aPretrainedModelsConfigurationIsWhatTransformersCallsLlama() {
        var c = ModelConfig.llama(260, 128, 352, 4, 4, 2, 256, true, 256, List.of(257), 258);
        String text = Json.pretty(HfConfig.toJson(c));
        assertThat(text).contains("\"architectures\": [\n    \"LlamaForCausalLM\"\n  ]", "\"model_type\": \"llama\"",
                "\"rope_scaling\": null", "\"rope_theta\": 10000.0", "\"rms_norm_eps\": 1e-05",
                "\"torch_dtype\": \"float32\"", "\"eos_token_id\": 257", "\"head_dim\": 32");
        assertThat(parse(text)).isEqualTo(c);
        assertThatThrownBy(() -> ModelConfig.llama(260, 100, 352, 4, 3, 3, 256, true, 256, List.of(257), 258))
                .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("num_attention_heads 3");
    }

    @Test
    void theTensorsOfAModelFollowFromItsConfiguration() {
        var shapes = config("qwen3", ",'head_dim':24,'attention_bias':true").tensorShapes();
        assertThat(shapes).containsEntry("model.layers.2.self_attn.q_proj.weight", List.of(96L, 64L))
                .containsEntry("model.layers.2.self_attn.k_proj.weight", List.of(48L, 64L))
                .containsEntry("model.layers.2.self_attn.o_proj.weight", List.of(64L, 96L))
                .containsEntry("model.layers.2.self_attn.o_proj.bias", List.of(64L))
                .containsEntry("model.layers.0.self_attn.q_norm.weight", List.of(24L))
                .containsEntry("model.layers.0.mlp.down_proj.weight", List.of(64L, 160L))
                .containsEntry("lm_head.weight", List.of(96L, 64L)).hasSize(3 + 3 * (7 + 4 + 2 + 2));
        assertThat(config("llama", ",'tie_word_embeddings':true").tensorShapes()).doesNotContainKey("lm_head.weight");
    }
}
