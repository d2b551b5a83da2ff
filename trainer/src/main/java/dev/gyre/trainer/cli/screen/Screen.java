package dev.gyre.trainer.cli.screen;

import java.io.Console;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Where a command writes. Lines go to `out`; on a terminal one status line below them is rewritten in place; a copy of
/// the lines goes to a log file when one is set. Used from the command's thread and the signal handler.
public final class Screen {
    private final PrintStream out;
    private final PrintStream err;
    private final boolean terminal;
    private final Supplier<@Nullable String> answers;
    private boolean quiet;
    private boolean json;
    private String status = "";
    private @Nullable Path logFile;
    private @Nullable Writer log;
    /// Why the log lacks lines, and whether that was thrown.
    private @Nullable IOException lost;
    private boolean told;

    public Screen(PrintStream out, PrintStream err, boolean terminal) {
        this(out, err, terminal, () -> null);
    }

    /// @param answers what the user types, a line each; null at the end
    public Screen(PrintStream out, PrintStream err, boolean terminal, Supplier<@Nullable String> answers) {
        this.answers = answers;
        this.out = out;
        this.err = err;
        this.terminal = terminal;
    }

    public static Screen system() {
        Console console = System.console();
        boolean terminal = console != null && console.isTerminal();
        return new Screen(System.out, System.err, terminal, () -> console == null ? null : console.readLine());
    }

    public PrintWriter writer() {
        return new PrintWriter(out, true, StandardCharsets.UTF_8);
    }

    /// Under `-q` only results and errors are shown.
    public void quiet(boolean quiet) {
        this.quiet = quiet;
    }

    public boolean isTerminal() {
        return terminal;
    }

    /// Whether a question would be read and answered.
    public boolean canAsk() {
        return terminal && !quiet && !json;
    }

    /// Asks a question that yes or no answers; silence and everything else is a no.
    public boolean confirm(String question) {
        if (!canAsk())
            return false;
        done();
        part(question + " [y/N] ");
        String answer = answers.get();
        return answer != null && answer.strip().toLowerCase(Locale.ROOT).matches("y|yes");
    }

    /// From now on lines are also appended to `file`; with null, no more. A line that cannot be written there is shown, and
    /// ends the command like any other file that cannot be written: by an exception of [#line], [#result] or
    /// [#requireLogged]. [#note] throws none: it is also called while another exception or a signal is on its way.
    public synchronized void log(@Nullable Path file) {
        if (log != null)
            try {
                log.close(); // every line is flushed already
            } catch (IOException e) {
                lost = e;
            }
        log = null;
        lost = null;
        told = false;
        logFile = file;
        if (file != null)
            try {
                log = Files.newBufferedWriter(file, StandardCharsets.UTF_8, StandardOpenOption.CREATE,
                        StandardOpenOption.APPEND);
            } catch (IOException e) {
                lost = e;
                requireLogged();
            }
    }

    /// Throws where the log lacks a line.
    public synchronized void requireLogged() {
        told = true;
        if (lost != null)
            throw new UncheckedIOException(new IOException(
                    logFile + ": cannot be written: " + lost.getMessage() + "; the run can be resumed", lost));
    }

    /// Text as it may be shown. Names, keys and answers come out of files and models, and a terminal obeys control characters:
    /// they are spelt out, line breaks and tabs excepted.
    static String visible(String text) {
        StringBuilder s = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean control = Character.isISOControl(c) && c != '\n' && c != '\t';
            if (control && s == null)
                s = new StringBuilder(text.length() + 16).append(text, 0, i);
            if (s != null)
                if (control)
                    s.append(Text.format("\\u%04x", (int) c));
                else
                    s.append(c);
        }
        return s == null ? text : s.toString();
    }

    private void record(String text) {
        if (log == null || lost != null)
            return;
        try {
            log.write(visible(text) + System.lineSeparator());
            log.flush();
        } catch (IOException e) {
            lost = e;
        }
    }

    /// Progress: silent under `-q`.
    public synchronized void line(String text) {
        record(text);
        if (!quiet)
            print(out, text);
        if (lost != null && !told)
            requireLogged();
    }

    /// From now on the output is for programs: [#data] alone, and errors. The log still gets what a person would see.
    public void json() {
        quiet = true;
        json = true;
    }

    public boolean isJson() {
        return json;
    }

    /// A line for programs.
    public synchronized void data(String line) {
        out.println(visible(line));
        out.flush();
    }

    /// A result: shown always, but not to a program.
    public synchronized void result(String text) {
        record(text);
        if (!json)
            print(out, text);
        if (lost != null && !told)
            requireLogged();
    }

    /// A remark, on the error stream.
    public synchronized void note(String text) {
        record(text);
        print(err, text);
    }

    /// Part of a result as it comes, without a line break.
    public synchronized void part(String text) {
        out.print(visible(text));
        out.flush();
    }

    /// Rewrites the line below everything else; nothing in a pipe.
    public synchronized void status(String text) {
        if (!terminal || quiet)
            return;
        erase();
        status = visible(text);
        out.print(status);
        out.flush();
    }

    private void print(PrintStream where, String text) {
        String again = status;
        erase();
        where.println(visible(text));
        where.flush();
        if (!again.isEmpty()) {
            out.print(again);
            out.flush();
            status = again;
        }
    }

    private void erase() {
        if (!status.isEmpty()) {
            out.print("\r\u001b[K");
            out.flush();
        }
        status = "";
    }

    /// Removes the status line.
    public synchronized void done() {
        erase();
    }
}
