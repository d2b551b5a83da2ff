package dev.gyre.trainer.cli;

import dev.gyre.model.token.StreamDecoder;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `gyre data`: what the model will see.
@Command(name = "data",
        description = "The examples of a run as the model sees them: tokens with those that are trained on marked, lengths, what is cut or dropped.")
final class DataCommand extends GyreCommand {
    private static final int BARS = 12;
    private static final String TRAINED = "\u001b[32m";
    private static final String PLAIN = "\u001b[0m";

    @Parameters(index = "0", paramLabel = "RUN.yaml", description = "The run's configuration.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Replace a key of the configuration.")
    List<String> set = new ArrayList<>();

    @Option(names = "--show", paramLabel = "N", defaultValue = "3",
            description = "Examples to show (default: ${DEFAULT-VALUE}).")
    int show;

    @Option(names = "--from", paramLabel = "I", defaultValue = "1",
            description = "Number of the first example to show (default: ${DEFAULT-VALUE}).")
    int from;

    @Option(names = "--ids", description = "Show a table of token ids instead of text.")
    boolean ids;

    @Override
    protected int run() {
        if (show < 0 || from < 1)
            throw new UsageException("--show must be at least 0, --from at least 1");
        RunConfig c = ConfigReader.readWithInputs(file, RunConfig.class, set);
        try (ModelText text = ModelText.load(c)) {
            RunData data = RunData.read(c, text);
            TokenizedSet s = data.train();
            if (show > 0)
                screen().result(screen().isTerminal() ? TRAINED + "green" + PLAIN + " tokens are trained on"
                        : "tokens in [[ ]] are trained on");
            for (int i = from - 1; i < Math.min(s.size(), from - 1 + show); i++)
                example(s, i, text);
            lengths("train", s, c.train().seqLen());
            if (data.valid() != null)
                lengths("valid", data.valid(), c.train().seqLen());
            long used = s.tokens() - s.size();
            screen().result("rows of " + c.train().seqLen() + ": " + Text.count(data.batches().epochRows())
                    + " an epoch, " + Text.percent(used, (double) data.batches().epochRows() * c.train().seqLen())
                    + " filled"
                    + (c.data().packing() ? " (packed)" : " (one example each; data.packing: true fills them)"));
            data.notes(c).forEach(n -> screen().note(n));
        }
        return ExitCode.OK;
    }

    private void example(TokenizedSet s, int i, ModelText text) {
        int trained = 0;
        for (int j = 0; j < s.length(i); j++)
            trained += s.isTarget(i, j) ? 1 : 0;
        screen().result("");
        screen().result("example " + (i + 1) + " · " + s.file(i) + " line " + s.line(i) + " · "
                + Text.many(s.length(i), "token") + ", " + trained + " trained");
        if (ids)
            table(s, i, text);
        else
            screen().result(line(s, i, text));
    }

    /// The text with marks where training begins and ends; special tokens are spelt out.
    private String line(TokenizedSet s, int i, ModelText text) {
        StringBuilder out = new StringBuilder();
        StreamDecoder stream = text.stream();
        boolean in = false;
        for (int j = 0; j < s.length(i); j++) {
            boolean trained = s.isTarget(i, j);
            String piece = piece(stream, s.token(i, j), text);
            if (trained != in)
                out.append(screen().isTerminal() ? trained ? TRAINED : PLAIN : trained ? "[[" : "]]");
            in = trained;
            out.append(piece);
        }
        if (in)
            out.append(screen().isTerminal() ? PLAIN : "]]");
        return out.toString();
    }

    private void table(TokenizedSet s, int i, ModelText text) {
        screen().result("      place       id  trained  text");
        StreamDecoder stream = text.stream();
        for (int j = 0; j < s.length(i); j++)
            screen().result(Text.format("  %9d %8d  %-7s  %s", j, s.token(i, j), s.isTarget(i, j) ? "yes" : "",
                    piece(stream, s.token(i, j), text).replace("\n", "\\n")));
    }

    private static String piece(StreamDecoder stream, int token, ModelText text) {
        String special = text.tokenizer().decodeWithSpecial(token);
        // special tokens are no text to a stream; spelt out they show what the model sees
        return text.tokenizer().decode(token).isEmpty() && !special.isEmpty() ? special : stream.add(token);
    }

    private void lengths(String name, TokenizedSet s, int T) {
        int longest = 0;
        for (int i = 0; i < s.size(); i++)
            longest = Math.max(longest, s.length(i));
        int width = Math.max(1, (longest + BARS - 1) / BARS);
        int[] count = new int[(longest + width - 1) / width + 1];
        for (int i = 0; i < s.size(); i++)
            count[s.length(i) / width]++;
        int most = 1;
        for (int n : count)
            most = Math.max(most, n);
        screen().result("");
        screen().result(name + ": " + s.name() + " · " + Text.many(s.size(), "example") + " of " + Text.count(s.read())
                + " · " + Text.count(s.truncated()) + " truncated to " + (T + 1) + " tokens · "
                + Text.count(s.dropped()) + " dropped · " + Text.count(s.tokens()) + " tokens, "
                + Text.percent(s.targets(), s.tokens()) + " trained");
        for (int b = 0; b < count.length; b++)
            if (count[b] > 0)
                screen().result(Text.format("  %5d..%-5d %8s  %s", b * width, (b + 1) * width - 1, Text.count(count[b]),
                        "#".repeat((int) Math.ceil(48.0 * count[b] / most))));
    }
}
