package dev.gyre.api;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.InputException;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.model.weights.Storage;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.convert.Merging;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.ModelRef;
import dev.gyre.trainer.measure.WeightGeometry;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// A causal language model with the adapters on it.
///
/// ```java
/// try (LanguageModel model = LanguageModel.load(Path.of("examples/small-llama"))) {
///     model.adapt("shift", Oft.of(Targets.allLinear(), 32), 1);
///     model.train(examples, TrainOptions.steps(100).with("lr", 4e-3), step -> log(step.loss()));
///     String answer = model.generate("shift abc = ", 20);
///     model.saveAdapter("shift", Path.of("shift-adapter"));     // a PEFT directory
///     model.merge(Path.of("merged"));                           // a model directory
/// }
/// ```
///
/// Several adapters are nested in the order in which they were added, the first nearest to the input; each can be switched
/// off. An object is not thread-safe. Weights are on the Java heap; memory for training is taken while [#train] runs.
public final class LanguageModel implements AutoCloseable {
    private final Path directory;
    private final Transformer model;
    private final ModelText text;
    private final Backend backend;
    private boolean restored;

    private LanguageModel(Path directory, Transformer model, ModelText text, Backend backend, boolean restored) {
        this.restored = restored;
        this.directory = directory;
        this.model = model;
        this.text = text;
        this.backend = backend;
    }

    /// Reads a model, to compute on the CPU.
    ///
    /// @param directory a Hugging Face model directory, or the name of a model in the hub's cache ([Models#download]); or a
    ///        run directory, which means its base model with the adapter it made, or the model it made
    /// @return the model
    public static LanguageModel load(Path directory) {
        return load(directory, "cpu");
    }

    /// Reads a model, to compute on a device.
    ///
    /// @param directory a Hugging Face model directory, or a run directory
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device: `opencl:0`, `cuda:0`, `ptx:0`, `jvm`
    /// @return the model
    public static LanguageModel load(Path directory, String device) {
        return load(directory, device, ModelRef.date(List.of(directory)));
    }

    /// Reads a model whose chat template shows a date.
    ///
    /// @param directory a Hugging Face model directory, or a run directory
    /// @param device `cpu`, `cpu:THREADS`, or a TornadoVM device
    /// @param date what the template's `strftime_now` shows; null: there is no such function
    /// @return the model
    public static LanguageModel load(Path directory, String device, @Nullable LocalDateTime date) {
        Backend backend = Devices.open(device).backend();
        ModelRef ref = ModelRef.of(directory, List.of());
        return new LanguageModel(ref.model(), ref.load(backend), ModelText.load(ref.model(), date), backend,
                ref.base() != Storage.AS_STORED);
    }

    /// Stores the frozen weights another way from now on: in 4 bits (QOFT, QLoRA) to save memory, or in 16 or 32.
    ///
    /// @param storage how they are stored
    public void storeAs(Storage storage) {
        model.store(storage);
        restored |= storage != Storage.AS_STORED;
    }

    /// Adds a fresh adapter; it starts as the unchanged model.
    ///
    /// ```java
    /// model.adapt("style", Psoft.of(Targets.names("q_proj", "v_proj"), 46), 1);
    /// ```
    ///
    /// @param name that [#enable], [#saveAdapter] and messages use
    /// @param options the method and its options
    /// @param seed of random initial values
    /// @return its trainable parameters
    public long adapt(String name, AdapterOptions options, long seed) {
        Adapter a = Adapter.create(options, model, seed, new BaseWeights(model, backend, (m, captured, r, gap) -> {
        }));
        model.attach(name, a);
        return a.parameters();
    }

    /// Adds an adapter from a PEFT directory.
    ///
    /// @param name that [#enable], [#saveAdapter] and messages use
    /// @param peftDirectory with `adapter_config.json` and `adapter_model.safetensors`
    /// @return warnings about its files; usually none
    public List<String> addAdapter(String name, Path peftDirectory) {
        Adapter a = Adapter.read(peftDirectory, model);
        model.attach(name, a);
        return a.warnings();
    }

    /// Switches an adapter off, or on again.
    ///
    /// @param name of the adapter
    /// @param on whether it takes part
    public void enable(String name, boolean on) {
        model.enable(name, on);
    }

    /// Takes an adapter off the model; what it learned is lost unless it was saved.
    ///
    /// @param name of the adapter
    public void removeAdapter(String name) {
        model.detach(name);
    }

    /// {@return the names of the adapters in their order, those that are switched off included}
    public List<String> adapters() {
        return model.adapterNames();
    }

    /// Trains the adapters that are switched on. The examples are read once and kept as tokens.
    ///
    /// ```java
    /// List<Example> tasks = List.of(new Example.Completion("2 + 2 = ", "4"));
    /// double loss = model.train(tasks, TrainOptions.epochs(3), step -> {}).loss();
    /// ```
    ///
    /// @param examples with a prompt and an answer, a chat, or running text
    /// @param options the keys of `train` in `run.yaml`
    /// @param onStep called after every optimiser step
    /// @return how it ended; `loss()` is that of the last step
    /// @throws dev.gyre.trainer.loop.NumericException when the loss or its gradient is no number
    public TrainLoop.Result train(Iterable<? extends Example> examples, TrainOptions options,
            Consumer<TrainListener.Step> onStep) {
        if (model.adapters().isEmpty())
            throw new IllegalStateException("nothing to train: add an adapter with adapt(), or switch one on");
        RunConfig.Train t = options.train();
        RunData data = RunData.of(tokens(examples, t.seqLen()), t, options.seed());
        Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.TRAIN);
        if (t.gradientCheckpointing())
            uses.add(TrainSession.Use.GRADIENT_CHECKPOINTING);
        try (TrainSession session = new TrainSession(model, backend, RunData.shapes(t), false, uses,
                options.seed(), t.accumulate())) {
            TrainListener listener = new TrainListener() {
                @Override
                public void onStep(Step s) {
                    onStep.accept(s);
                }
            };
            TrainLoop.Result r = TrainLoop.of(session, data, t).listening(List.of(listener)).run();
            session.pull();
            return r;
        }
    }

    /// Mean loss over the answers of examples (over all of running text).
    ///
    /// @param examples to measure on
    /// @param rows computed at once
    /// @param seqLen tokens of a row; longer examples are cut
    /// @return the loss, and over how many tokens
    public Evaluation.Loss evaluate(Iterable<? extends Example> examples, int rows, int seqLen) {
        return Evaluation.loss(model, backend, tokens(examples, seqLen), rows, seqLen);
    }

    /// How the model answers examples that have a prompt and a completion, choosing the likeliest token each time.
    ///
    /// @param examples to answer
    /// @return `share()` is the part answered exactly, `tokenShare()` the part of the right tokens
    public Evaluation.Answers answers(List<Example> examples) {
        return Evaluation.answers(model, backend, examples, text);
    }

    private TokenizedSet tokens(Iterable<? extends Example> examples, int seqLen) {
        return TokenizedSet.of(examples, new TokenizedSet.Rules(RunConfig.Format.AUTO, RunConfig.TrainOn.COMPLETION,
                RunConfig.TooLong.TRUNCATE, seqLen), text);
    }

    /// Continues a prompt with the likeliest token each time.
    ///
    /// @param prompt to continue
    /// @param most tokens at most; fewer when the model ends its answer
    /// @return the continuation, without the prompt
    public String generate(String prompt, int most) {
        return generate(prompt, most, 0, 1, 1, part -> {
        });
    }

    /// Continues a prompt with tokens that are drawn.
    ///
    /// @param prompt to continue
    /// @param most tokens at most; fewer when the model ends its answer
    /// @param temperature 0: the likeliest token each time; higher: more varied
    /// @param topP draw only from the likeliest tokens that make up this share
    /// @param seed of the draws
    /// @param onText gets each piece of text as it comes
    /// @return the whole continuation, without the prompt
    public String generate(String prompt, int most, double temperature, double topP, long seed,
            Consumer<String> onText) {
        return generate(text.prompt(prompt), most, temperature, topP, seed, onText);
    }

    /// Answers the last message of a conversation, which the model's chat template renders.
    ///
    /// @param conversation from its beginning
    /// @param most tokens at most; fewer when the model ends its answer
    /// @param temperature 0: the likeliest token each time; higher: more varied
    /// @param topP draw only from the likeliest tokens that make up this share
    /// @param seed of the draws
    /// @param onText gets each piece of text as it comes
    /// @return the answer
    public String reply(List<ChatTemplate.Message> conversation, int most, double temperature, double topP, long seed,
            Consumer<String> onText) {
        return generate(text.prompt(conversation), most, temperature, topP, seed, onText);
    }

    private String generate(int[] tokens, int most, double temperature, double topP, long seed,
            Consumer<String> onText) {
        int context = model.config().maxPositionEmbeddings();
        if (tokens.length == 0 || tokens.length >= context)
            throw new InputException("the prompt has " + tokens.length + " tokens; the model takes 1 to "
                    + (context - 1));
        int limit = Math.min(most, context - tokens.length);
        StringBuilder all = new StringBuilder();
        Consumer<String> both = part -> {
            all.append(part);
            onText.accept(part);
        };
        try (Decoder decoder = new Decoder(model, backend, tokens.length + limit)) {
            StreamDecoder stream = text.stream();
            Generator.run(decoder, tokens, limit, text.stops(),
                    new Sampler(text.tokenizer().vocabSize(), temperature, topP, seed), token -> {
                        both.accept(stream.add(token));
                        return true;
                    });
            both.accept(stream.finish());
        }
        return all.toString();
    }

    /// Writes an adapter as a PEFT directory.
    ///
    /// @param name of the adapter
    /// @param to must not exist or be empty
    public void saveAdapter(String name, Path to) {
        AtomicFiles.requireNewDirectory(to);
        model.named(name).write(to, directory.toString());
    }

    /// Writes a model directory with the adapters that are switched on folded into the weights. The model in memory does
    /// not change.
    ///
    /// @param to must not exist or be empty
    public void merge(Path to) {
        if (model.adapters().isEmpty())
            throw new IllegalStateException("nothing to merge: no adapter is switched on");
        Merging.write(model, directory, restored, false, null, null, backend, to, name -> {
        });
    }

    /// What the adapters that are switched on do to the geometry of the weights.
    ///
    /// @return for each adapted weight, rotation metrics and hyperspherical energy before and after
    public List<WeightGeometry> geometry() {
        return WeightGeometry.of(model, backend);
    }

    @Override
    public void close() {
        text.close();
    }
}
