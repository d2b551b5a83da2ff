package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.Screen;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Runs a command line in this process.
public final class Cli {
    final int code;
    final String out;
    final String err;

    private Cli(int code, String out, String err) {
        this.code = code;
        this.out = out;
        this.err = err;
    }

    public static Cli gyre(Object... args) {
        return run(false, () -> null, args);
    }

    /// On a terminal.
    ///
    /// @param answer what the user types, always
    static Cli asked(String answer, Object... args) {
        return run(true, () -> answer, args);
    }

    private static Cli run(boolean terminal, Supplier<@Nullable String> answers, Object... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        String[] words = new String[args.length];
        for (int i = 0; i < args.length; i++)
            words[i] = args[i].toString();
        int code = Main.run(new Screen(new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8), terminal, answers), words);
        return new Cli(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    public int code() {
        return code;
    }

    public String out() {
        return out;
    }

    public String err() {
        return err;
    }

    public JsonNode json() {
        return JsonMapper.builder().build().readTree(out);
    }

    @Override
    public String toString() {
        return "exit " + code + "\n" + out + "\n" + err;
    }
}
