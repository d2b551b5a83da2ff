package dev.gyre.trainer.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import tools.jackson.databind.JsonNode;

/// Pages that need no network: data, style, scripts and the chart library (Chart.js, MIT licence) are in one file.
final class Page {

    private Page() {
    }

    /// @param scripts resources that draw `DATA`
    static String html(String title, JsonNode data, String... scripts) {
        return page(title, data, "", scripts);
    }

    /// A page whose policy allows no scripts and styles but those with a nonce.
    static String allowed(String title, JsonNode data, String nonce, String... scripts) {
        return page(title, data, " nonce=\"" + nonce + "\"", scripts);
    }

    private static String page(String title, JsonNode data, String by, String... scripts) {
        StringBuilder all = new StringBuilder();
        all.append("<script").append(by).append('>').append(charts()).append("</script>\n");
        for (String s : scripts)
            all.append("<script").append(by).append(">\n").append(resource(s)).append("</script>\n");
        return """
                <!doctype html>
                <html lang="en">
                <head>
                <meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <meta name="color-scheme" content="light dark">
                <title>%s</title>
                <style%s>
                %s</style>
                </head>
                <body>
                <main></main>
                <script type="application/json" id="data">%s</script>
                %s</body>
                </html>
                """.formatted(escaped(title), by, resource("page.css"), json(data), all);
    }

    /// The chart library's file, whose path in its jar names its version.
    private static String charts() {
        Properties p = new Properties();
        try {
            p.load(new StringReader(resource("chart.properties")));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return resource("/META-INF/resources/webjars/chart.js/" + p.getProperty("version") + "/dist/chart.umd.min.js");
    }

    private static String escaped(String s) {
        return s.replace("&", "&amp;").replace("<", "&lt;");
    }

    /// JSON that cannot end the element that contains it.
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
