package dev.gyre.trainer.cli.screen;

import dev.gyre.kernels.Session;
import dev.gyre.model.adapter.Geometry;
import dev.gyre.trainer.loop.TrainListener;
import java.nio.file.Path;
import java.util.Comparator;
import org.jspecify.annotations.Nullable;

/// The table of a run: a row every few steps and at every evaluation, and on a terminal a status line below it.
final class Progress implements TrainListener {
    /// Samples that a row shows; the run's files have all.
    private static final int SHOWN = 4;
    private static final int LONG = 48;

    private final Screen screen;
    private final long steps;
    private final int every;
    private final long begun = System.nanoTime();
    private final long from;

    private @Nullable Step step;
    private @Nullable Evaluation evaluation;
    private String remark = "";
    private boolean shown;
    private long tokens;
    private double seconds;
    private String defect = "-";
    private @Nullable Samples samples;
    private @Nullable Double valid;
    private boolean warned;

    /// @param from step that the run starts after
    public Progress(Screen screen, long from, long steps, int every) {
        this.screen = screen;
        this.from = from;
        this.steps = steps;
        this.every = every;
    }

    public static String heading() {
        return "   step      loss     valid    |grad|        lr  orth.err     tok/s       eta";
    }

    @Override
    public void onStep(Step s) {
        step = s;
        evaluation = null;
        samples = null;
        remark = "";
        tokens += s.tokens();
        seconds += s.seconds();
        screen.status(Text.format("step %d/%d · loss %.4f%s · |grad| %.3f · lr %s%s · %s tok/s · epoch %.2f · eta %s",
                s.t(), steps, s.loss(), valid == null ? "" : Text.format(" · valid %.4f", valid), s.gradNorm(),
                Text.small(s.lr()), defect.equals("-") ? "" : " · orth.err " + defect,
                Text.count(Math.round(s.tokens() / s.seconds())), s.epoch(), eta(s.t())));
        shown = s.t() == from + 1 || s.t() % every == 0 || s.t() == steps;
    }

    @Override
    public void onDeviceCheck(String text, double seconds, double cpuSeconds) {
        screen.line(
                "check     " + text + Text.format("; took %.1f s with compiling, the CPU %.1f s", seconds, cpuSeconds));
    }

    @Override
    public void onNoDeviceCheck(String why) {
        screen.line("check     " + why);
    }

    @Override
    public void onCompiled(Session.Compiled c) {
        screen.line("compile   " + Text.format("first step compiled in %.1f s, %d kernels, %d graphs, %d arrays",
                c.seconds(), c.kernels(), c.graphs(), c.arrays()));
    }

    @Override
    public void onEvaluation(Evaluation e) {
        evaluation = e;
        valid = e.loss();
        shown = true;
        e.also().forEach((name, loss) -> remark += Text.format("  %s %.4f", name, loss));
        e.scores().forEach((name, score) -> remark += Text.format("  %s %.4f", name, score));
    }

    @Override
    public void onSamples(Samples s) {
        samples = s;
    }

    @Override
    public void onRotations(Rotations r) {
        defect = Text.format("%.1e", r.defect());
        Geometry worst = r.modules().stream().max(Comparator.comparingDouble(Geometry::defect)).orElseThrow();
        if (worst.isDrifted() && !warned) {
            warned = true;
            screen.note(Text.format("warning: step %d: the rotation of %s is not orthogonal any more: error %.1e, above"
                    + " %.0e; %s", r.t(), worst.module(), worst.defect(), Geometry.WARN, Geometry.REMEDY));
        }
    }

    @Override
    public void onCheckpoint(long t, Path where, boolean best) {
        remark += "  saved " + where.getFileName() + (best ? " (best)" : "");
        shown = true;
    }

    @Override
    public void onEnd(long t, @Nullable Throwable failure) {
        screen.done();
    }

    @Override
    public void onStepEnd(long t) {
        Step s = step;
        if (s == null || !shown)
            return;
        Evaluation e = evaluation;
        String valid = e == null ? "-" : Text.format("%.4f", e.loss());
        screen.line(Text.format("%7d %9.4f %9s %9.3f %9s %9s %9s %9s%s", s.t(), s.loss(), valid, s.gradNorm(),
                Text.small(s.lr()), defect,
                Text.count(Math.round(tokens / Math.max(1e-9, seconds))), eta(s.t()), remark));
        Samples answered = samples;
        if (answered != null) {
            screen.line(Text.format("        %d of %d right", answered.right(), answered.all().size()));
            for (Sample x : answered.all().subList(0, Math.min(SHOWN, answered.all().size())))
                screen.line("        " + (x.isRight() ? "right  " : "wrong  ") + brief(x.prompt()) + " -> "
                        + brief(x.answer()) + (x.isRight() ? "" : "   expected " + brief(x.expected())));
        }
        tokens = 0;
        seconds = 0;
    }

    /// One line of a text, its end in place of the whole where it is long.
    private static String brief(String s) {
        String line = s.strip().replaceAll("\\s*\\R\\s*", " / ");
        return line.length() <= LONG ? line : "…" + line.substring(line.length() - LONG);
    }

    private String eta(long t) {
        double each = (System.nanoTime() - begun) / 1e9 / Math.max(1, t - from);
        return Text.time(each * (steps - t));
    }
}
