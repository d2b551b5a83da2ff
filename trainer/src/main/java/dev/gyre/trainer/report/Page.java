package dev.gyre.trainer.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import tools.jackson.databind.JsonNode;

/// Pages that need no network: data, style, scripts and the chart library (Chart.js, MIT licence) stand in one file.
final class Page {
    private static final String CHARTS = "/META-INF/resources/webjars/chart.js/4.5.1/dist/chart.umd.min.js";

    private Page() {
    }

    /// @param script resource that draws `DATA`
    static String html(String title, String script, JsonNode data) {
        return """
                <!doctype html>
                <html lang="en">
                <head>
                <meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <meta name="color-scheme" content="light dark">
                <title>%s</title>
                <style>
                %s</style>
                </head>
                <body>
                <main></main>
                <script type="application/json" id="data">%s</script>
                <script>%s</script>
                <script>
                %s</script>
                <script>
                %s</script>
                </body>
                </html>
                """.formatted(escaped(title), resource("page.css"), json(data), resource(CHARTS), resource("page.js"),
                resource(script));
    }

    private static String escaped(String s) {
        return s.replace("&", "&amp;").replace("<", "&lt;");
    }

    /// JSON that cannot end the element it stands in.
    private static String json(JsonNode data) {
        return data.toString().replace("<", "\\u003c");
    }

    private static String resource(String name) {
        try (InputStream in = Page.class.getResourceAsStream(name)) {
            if (in == null)
                throw new IllegalStateException(name + " is not on the class path");
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
