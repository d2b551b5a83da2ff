package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Screen;
import dev.gyre.trainer.cli.screen.Version;
import dev.gyre.trainer.config.Schema;
import dev.gyre.trainer.hub.Hub;
import dev.gyre.trainer.measure.HeapTrim;
import java.util.List;
import java.util.ServiceLoader;
import java.util.logging.Level;
import java.util.logging.Logger;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `gyre`: the table of commands.
@Command(name = "gyre", versionProvider = Version.class,
        description = "Orthogonal fine-tuning of language models on the JVM.", synopsisSubcommandLabel = "COMMAND",
        subcommandsRepeatable = false, footer = {
            "", "Exit codes: 0 ok, 1 failure, 2 usage, configuration or input, 3 numeric (NaN, check above its limit),"
                    + " 130 interrupted and saved. `gyre COMMAND --help` explains a command."})
public final class Main implements Runnable {
    /// DJL, which brings the tokenizers, tells of GPUs and platforms that Gyre does not ask it for. Kept here: levels of
    /// loggers without a reference are garbage-collected.
    private static final Logger TOKENIZERS = Logger.getLogger("ai.djl");

    /// So does the reader of Parquet files, of instructions and libraries that it found.
    private static final Logger PARQUET = Logger.getLogger("dev.hardwood");

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    CommandSpec spec;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "Show this help and exit.")
    boolean help;

    @Option(names = {"-V", "--version"}, versionHelp = true, description = "Show version, JDK and exit.")
    boolean version;

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "a command is missing");
    }

    public static void main(String[] args) {
        int code = run(Screen.system(), args);
        System.out.flush();
        System.exit(code);
    }

    /// All commands, those of other modules included.
    public static CommandLine commands() {
        CommandLine gyre = new CommandLine(new Main());
        for (Object c : Commands.all())
            gyre.addSubcommand(c);
        for (CommandProvider p : ServiceLoader.load(CommandProvider.class))
            p.commands().forEach(gyre::addSubcommand);
        return gyre;
    }

    /// What was probably meant: a command by the letters that differ, an option as picocli suggests.
    private static String hint(CommandLine.UnmatchedArgumentException e) {
        String near = e.isUnknownOption() ? e.getSuggestions().stream().findFirst().orElse(null)
                : Schema.nearest(e.getUnmatched().getFirst(),
                        List.copyOf(e.getCommandLine().getSubcommands().keySet()));
        return near == null ? "" : "; did you mean " + near + "?";
    }

    /// Runs a command line and returns its exit code; what tests call.
    public static int run(Screen screen, String... args) {
        TOKENIZERS.setLevel(Level.SEVERE);
        PARQUET.setLevel(Level.SEVERE);
        TokenizerSettings.apply();
        CommandLine gyre = commands();
        gyre.setOut(screen.writer());
        gyre.setCaseInsensitiveEnumValuesAllowed(true);
        gyre.setUsageHelpAutoWidth(true);
        gyre.setParameterExceptionHandler((e, _) -> {
            CommandLine at = e.getCommandLine();
            String name = at.getCommandSpec().qualifiedName();
            String hint = e instanceof CommandLine.UnmatchedArgumentException u ? hint(u) : "";
            screen.note(
                    "gyre: " + String.valueOf(e.getMessage()).replaceAll("\\s*\\R\\s*", " ") + hint + " (see " + name
                            + " --help)");
            return ExitCode.USAGE;
        });
        gyre.setExecutionStrategy(parsed -> {
            for (CommandLine.ParseResult p = parsed; p != null; p = p.hasSubcommand() ? p.subcommand() : null)
                if (p.commandSpec().userObject() instanceof GyreCommand c)
                    c.attach(screen);
            return new CommandLine.RunLast().execute(parsed);
        });
        gyre.setExecutionExceptionHandler((e, at, _) -> failed(screen, e, at));
        try {
            return Hub.guided(new HubScreen(screen), () -> HeapTrim.within(System::gc, () -> gyre.execute(args)));
        } catch (StackOverflowError | OutOfMemoryError e) {
            return failed(screen, e, gyre);
        }
    }

    private static int failed(Screen screen, Throwable e, CommandLine at) {
        screen.done();
        screen.note("gyre: " + Errors.message(e));
        boolean debug = at.getCommandSpec().userObject() instanceof GyreCommand c && c.debug;
        if (debug) {
            java.io.StringWriter trace = new java.io.StringWriter();
            e.printStackTrace(new java.io.PrintWriter(trace));
            screen.note(trace.toString());
        }
        screen.log(null);
        return Errors.exitCode(e);
    }
}
