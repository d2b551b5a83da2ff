package dev.gyre.trainer.task;

import dev.gyre.model.task.TaskConfig;
import dev.gyre.trainer.config.TaskRunConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;

/// `report.html` of a run with a head: scores before and after, the confusion matrix, examples right and wrong. A page that
/// needs no network.
final class TaskReport {
    private static final int SHOWN = 12;

    private TaskReport() {
    }

    static String html(TaskRunConfig c, List<String> names, TaskData valid, @Nullable TaskScores before,
            TaskEvaluation after, TaskConfig config) {
        StringBuilder h = new StringBuilder("""
                <!doctype html>
                <html lang="en"><head><meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <meta name="color-scheme" content="light dark">
                <title>Gyre: report</title>
                <style>
                body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
                table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #8886;padding:.2rem .6rem;text-align:right}
                th:first-child,td:first-child{text-align:left}.text{text-align:left;white-space:pre-wrap}
                .scroll{overflow-x:auto}img{image-rendering:pixelated;height:64px}
                </style></head><body>
                """);
        h.append("<h1>").append(escaped(c.output().dir())).append("</h1><p>").append(escaped(c.model().path()))
                .append(" · ").append(c.task().kind().name().toLowerCase(Locale.ROOT)).append(" · ")
                .append(valid.size()).append(" held-out examples</p>");
        scores(h, before, after);
        if (c.task().kind() == TaskRunConfig.Kind.CLASS || c.task().kind() == TaskRunConfig.Kind.TOKENS) {
            int[][] confusion = Scores.confusion(after.labels(), after.outputs(), config.head().outputs());
            confusion(h, names, confusion);
        }
        if (c.task().kind() == TaskRunConfig.Kind.CLASS) {
            examples(h, names, valid, after, config.head().outputs(), false);
            examples(h, names, valid, after, config.head().outputs(), true);
        }
        return h.append("</body></html>\n").toString();
    }

    private static void scores(StringBuilder h, @Nullable TaskScores before, TaskEvaluation after) {
        h.append("<h2>Scores</h2><table><tr><th></th><th>before</th><th>after</th></tr>");
        row(h, "loss", before == null ? null : before.loss(), after.loss());
        for (Map.Entry<String, Double> s : after.scores().entrySet())
            row(h, s.getKey(), before == null ? null : before.scores().get(s.getKey()), s.getValue());
        h.append("</table>");
    }

    private static void row(StringBuilder h, String name, @Nullable Double before, double after) {
        h.append("<tr><td>").append(escaped(name.replace('_', ' '))).append("</td><td>")
                .append(before == null ? "" : String.format(Locale.ROOT, "%.4f", before)).append("</td><td>")
                .append(String.format(Locale.ROOT, "%.4f", after)).append("</td></tr>");
    }

    private static void confusion(StringBuilder h, List<String> names, int[][] m) {
        h.append("<h2>Confusion matrix</h2><p>Rows are the labels, columns what the model says.</p>"
                + "<div class=\"scroll\"><table><tr><th></th>");
        for (String n : names)
            h.append("<th>").append(escaped(n)).append("</th>");
        h.append("</tr>");
        int most = 1;
        for (int[] row : m)
            for (int v : row)
                most = Math.max(most, v);
        for (int i = 0; i < m.length; i++) {
            h.append("<tr><th>").append(escaped(names.get(i))).append("</th>");
            for (int j = 0; j < m.length; j++)
                h.append(String.format(Locale.ROOT, "<td style=\"background:rgba(%s,%.2f)\">%d</td>",
                        i == j ? "40,160,90" : "200,60,50", 0.7 * m[i][j] / most, m[i][j]));
            h.append("</tr>");
        }
        h.append("</table></div>");
    }

    private static void examples(StringBuilder h, List<String> names, TaskData valid, TaskEvaluation e, int V,
            boolean right) {
        List<Integer> which = new ArrayList<>();
        int row = 0;
        for (int i = 0; i < valid.size(); i++) {
            if (valid.label(i) < 0)
                continue;
            if ((Scores.best(e.outputs(), row * V, V) == e.labels()[row]) == right && which.size() < SHOWN)
                which.add(i);
            row++;
        }
        if (which.isEmpty())
            return;
        h.append("<h2>").append(right ? "Right" : "Wrong").append("</h2><table><tr><th>example</th><th>label</th>"
                + "<th>model</th></tr>");
        row = 0;
        for (int i = 0; i < valid.size(); i++) {
            if (valid.label(i) < 0)
                continue;
            if (which.contains(i))
                h.append("<tr><td class=\"text\">").append(shown(valid.examples().get(i))).append("</td><td>")
                        .append(escaped(names.get(e.labels()[row]))).append("</td><td>")
                        .append(escaped(names.get(Scores.best(e.outputs(), row * V, V)))).append("</td></tr>");
            row++;
        }
        h.append("</table>");
    }

    private static String shown(TaskExample e) {
        if (e.texts().isEmpty())
            return "<img alt=\"\" src=\"data:image/png;base64," + Base64.getEncoder().encodeToString(png(e)) + "\">";
        String text = String.join(" ⏎ ", e.texts());
        return escaped(text.length() > 300 ? text.substring(0, 300) + " …" : text);
    }

    private static byte[] png(TaskExample e) {
        try (ByteArrayOutputStream out = new ByteArrayOutputStream()) {
            ImageIO.write(ImageInput.picture(e), "png", out);
            return out.toByteArray();
        } catch (IOException x) {
            throw new UncheckedIOException(x);
        }
    }

    private static String escaped(String s) {
        return s.replace("&", "&amp;").replace("<", "&lt;").replace("\"", "&quot;");
    }
}
