package dev.gyre.trainer.cli;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.devices.Devices;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Interrupt;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `gyre chat`: a conversation, line by line.
@Command(name = "chat",
        description = "Talk with a model: each line is a message, the answer comes as it is made. A model with a chat template keeps the conversation in mind; one without continues each line by itself. Works in a pipe.",
        footer = {"",
            "/reset forgets the conversation, /exit (or the end of the input) ends it. Ctrl-C stops an answer; at the prompt it ends the program."})
final class ChatCommand extends GyreCommand {
    @Mixin
    ModelArgs model = new ModelArgs();

    @Mixin
    DateArgs date = new DateArgs();

    @Option(names = "--system", paramLabel = "TEXT",
            description = "System message before the conversation.")
    @Nullable
    String system;

    @Option(names = {"-n", "--max-tokens"}, defaultValue = "512", paramLabel = "N",
            description = "Tokens of an answer at most (default: ${DEFAULT-VALUE}).")
    int most;

    @Mixin
    SamplingArgs sampling = new SamplingArgs();

    @Override
    protected int run() throws IOException {
        if (most < 1)
            throw new UsageException("--max-tokens must be at least 1");
        ModelRef ref = model.ref();
        ModelText text = date.text(model, ref);
        if (system != null && !text.hasTemplate())
            throw new UsageException("--system needs a chat template, which " + ref.model() + " does not have");
        Backend backend = Devices.open(model.device).backend();
        Transformer llama = ref.load(backend, screen()::note);
        int context = llama.config().maxPositionEmbeddings();
        Sampler sampler = sampling.sampler(text.tokenizer().vocabSize());
        screen().line(text.hasTemplate() ? "/reset forgets the conversation, /exit ends it"
                : "this model has no chat template: each line is a text that it continues by itself; /exit ends");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Talk talk = new Talk(text, n -> new Decoder(llama, backend, n), sampler, context)) {
            for (String line = ask(in); line != null; line = ask(in))
                switch (line.strip()) {
                case "" -> {
                }
                case "/exit", "/quit" -> {
                    return ExitCode.OK;
                }
                case "/reset" -> {
                    talk.reset();
                    screen().line("a new conversation");
                }
                default -> {
                    // spaces at the end of a line belong to what a model without a template is to continue
                    if (line.startsWith("/"))
                        screen().note("no command " + line.strip() + "; there are /reset and /exit");
                    else
                        talk.say(line);
                }
                }
        }
        return ExitCode.OK;
    }

    private @Nullable String ask(BufferedReader in) throws IOException {
        if (screen().isTerminal())
            screen().part("> ");
        return in.readLine();
    }

    /// The conversation and the tokens of it that the decoder holds.
    private final class Talk implements AutoCloseable {
        private final ModelText text;
        private final IntFunction<Decoder> decoders;
        private @Nullable Decoder decoder;
        private int room;
        private final Sampler sampler;
        private final int context;
        private final List<ChatTemplate.Message> messages = new ArrayList<>();
        private int[] fed = {};

        /// @param decoders opens one for so many tokens
        Talk(ModelText text, IntFunction<Decoder> decoders, Sampler sampler, int context) {
            this.text = text;
            this.decoders = decoders;
            this.sampler = sampler;
            this.context = context;
            reset();
        }

        void reset() {
            messages.clear();
            if (system != null)
                messages.add(new ChatTemplate.Message("system", system));
        }

        void say(String line) {
            int[] tokens;
            if (text.hasTemplate()) {
                messages.add(new ChatTemplate.Message("user", line));
                tokens = text.prompt(messages);
            } else
                tokens = text.prompt(line);
            if (tokens.length >= context) {
                screen().note("the conversation has " + tokens.length + " tokens, the model's context is " + context
                        + "; /reset starts a new one");
                if (text.hasTemplate())
                    messages.removeLast();
                return;
            }
            StringBuilder answer = new StringBuilder();
            StreamDecoder stream = text.stream();
            try (Interrupt interrupt = Interrupt.ofAnswer()) {
                Decoder decoder = decoder((int) Math.min(context, (long) tokens.length + most));
                float[] logits = feed(decoder, tokens);
                for (int n = 0; n < most && !interrupt.requested(); n++) {
                    int token = sampler.next(logits);
                    if (text.stops().contains(token))
                        break;
                    String piece = stream.add(token);
                    answer.append(piece);
                    screen().part(piece);
                    if (fed.length == context || n + 1 == most)
                        break;
                    fed = Arrays.copyOf(fed, fed.length + 1);
                    fed[fed.length - 1] = token;
                    logits = decoder.next(token);
                }
            }
            String rest = stream.finish();
            screen().result(rest);
            if (text.hasTemplate())
                messages.add(new ChatTemplate.Message("assistant", answer + rest));
        }

        /// A decoder for that many tokens. Its caches for the whole context of a model would take gigabytes that hardly any
        /// conversation needs, so they grow with it; a new decoder reads the conversation anew.
        private Decoder decoder(int tokens) {
            Decoder d = decoder;
            if (d == null || room < tokens) {
                close();
                fed = new int[0];
                room = (int) Math.min(context, Math.max(tokens, 2L * room));
                d = decoders.apply(room);
                decoder = d;
            }
            return d;
        }

        @Override
        public void close() {
            Decoder d = decoder;
            if (d != null)
                d.close();
            decoder = null;
        }

        /// Feeds what of `tokens` the decoder does not hold already: in a conversation, the last message.
        private float[] feed(Decoder decoder, int[] tokens) {
            int same = Arrays.mismatch(fed, tokens);
            // at least one token is fed anew, because its logits are wanted
            int keep = Math.min(same < 0 ? fed.length : same, tokens.length - 1);
            decoder.rewind(keep);
            fed = tokens.clone();
            return decoder.next(Arrays.copyOfRange(tokens, keep, tokens.length));
        }
    }
}
