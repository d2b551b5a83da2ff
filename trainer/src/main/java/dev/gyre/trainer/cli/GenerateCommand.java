package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.util.List;
import java.util.Set;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre generate`: continues a prompt.
@Command(name = "generate",
        description = "Continue a prompt. Greedy unless --temperature is given; the same seed gives the same text.")
final class GenerateCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Mixin
    DateArgs date = new DateArgs();

    @Option(names = {"-p", "--prompt"}, required = true, paramLabel = "TEXT", description = "What to continue.")
    String prompt = "";

    @Option(names = "--chat", description = "Put the prompt through the model's chat template as a user's message.")
    boolean chat;

    @Option(names = {"-n", "--max-tokens"}, defaultValue = "128", paramLabel = "N",
            description = "Tokens to generate at most (default: ${DEFAULT-VALUE}).")
    int most;

    @Mixin
    SamplingArgs sampling = new SamplingArgs();

    @Option(names = "--ignore-eos", description = "Go on when the model says that it is done.")
    boolean ignoreEos;

    @Override
    protected int run() {
        if (most < 1)
            throw new UsageException("--max-tokens must be at least 1");
        ModelRef ref = model.ref();
        ModelText text = date.text(model, ref);
        Backend backend = Devices.open(model.device).backend();
        Transformer llama = ref.load(backend, screen()::note);
        Sampler sampler = sampling.sampler(text.tokenizer().vocabSize());
        int[] tokens = chat ? text.prompt(List.of(new ChatTemplate.Message("user", prompt)))
                : text.prompt(prompt);
        if (tokens.length == 0)
            throw new UsageException("--prompt is empty and the model has no token that starts a text");
        int context = llama.config().maxPositionEmbeddings();
        if (tokens.length >= context)
            throw new UsageException("the prompt has " + tokens.length + " tokens, the model's context is " + context);
        int limit = Math.min(most, context - tokens.length);
        try (Decoder decoder = new Decoder(llama, backend, tokens.length + limit)) {
            StreamDecoder stream = text.stream();
            Generator.run(decoder, tokens, limit, ignoreEos ? Set.of() : text.stops(), sampler, token -> {
                screen().part(stream.add(token));
                return true;
            });
            screen().result(stream.finish());
        }
        return ExitCode.OK;
    }
}
