package dev.gyre.trainer.serve;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import tools.jackson.databind.JsonNode;

/// The answer to one request, as a whole or piece by piece.
final class Reply implements AutoCloseable {
    private final HttpExchange x;
    private final Watchdog watchdog;
    private int status;
    private boolean cut;

    Reply(HttpExchange x, Watchdog watchdog) {
        this.x = x;
        this.watchdog = watchdog;
    }

    /// 0 before anything was sent.
    int status() {
        return status;
    }

    void json(int code, JsonNode body) throws IOException {
        send(code, "application/json", body.toString());
    }

    void send(int code, String type, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        headers(type);
        boolean head = x.getRequestMethod().equals("HEAD");
        status = code;
        watchdog.begin();
        try {
            x.sendResponseHeaders(code, head ? -1 : body.length);
            if (!head)
                try (OutputStream out = x.getResponseBody()) {
                    out.write(body);
                }
        } finally {
            watchdog.end();
        }
    }

    /// Begins an answer of pieces.
    void begin(String type) throws IOException {
        headers(type);
        status = 200;
        watchdog.begin();
        try {
            x.sendResponseHeaders(200, 0);
        } finally {
            watchdog.end();
        }
    }

    void piece(String text) throws IOException {
        watchdog.begin();
        try {
            OutputStream out = x.getResponseBody();
            out.write(text.getBytes(StandardCharsets.UTF_8));
            out.flush();
        } finally {
            watchdog.end();
        }
    }

    /// Ends the connection without the end of the answer, so that nobody takes what was sent for all of it.
    void cut() {
        cut = true;
    }

    private void headers(String type) {
        Headers h = x.getResponseHeaders();
        h.set("Content-Type", type);
        h.set("Cache-Control", "no-store");
        h.set("X-Content-Type-Options", "nosniff");
        h.set("X-Frame-Options", "DENY");
        h.set("Referrer-Policy", "no-referrer");
        h.set("Cross-Origin-Resource-Policy", "same-origin");
        h.set("Cross-Origin-Opener-Policy", "same-origin");
        if (!h.containsKey("Content-Security-Policy"))
            h.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    }

    @Override
    public void close() {
        // a thread that is interrupted closes the connection with its next write
        if (cut)
            Thread.currentThread().interrupt();
        watchdog.begin();
        try {
            x.close();
        } finally {
            watchdog.end();
            if (cut)
                Thread.interrupted();
        }
    }
}
