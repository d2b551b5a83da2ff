package dev.gyre.trainer.serve;

import org.jspecify.annotations.Nullable;

/// How models are served.
///
/// @param host to listen at; one that other machines can reach needs a key
/// @param port 0: any that is free
/// @param key that requests must bring; null: none
/// @param slots sequences answered together
/// @param context longest sequence, prompt and answer, in tokens
/// @param queue requests that may wait for a slot
/// @param maxTokens of an answer where a request does not say
/// @param temperature where a request does not say, as `topP` and `seed`
/// @param timeoutSeconds of an answer, waiting included
/// @param uploadSeconds in which the body of a request must be here
/// @param stuckSeconds that a client may take to read what is sent
public record ServeOptions(String host, int port, @Nullable String key, int slots, int context, int queue,
        int maxTokens, double temperature, double topP, long seed, int timeoutSeconds, int uploadSeconds,
        int stuckSeconds) {
    /// Where the server is when no port is given.
    public static final int PORT = 8080;
    public static final int SLOTS = 8;
    public static final int CONTEXT = 4096;
    public static final int QUEUE = 64;
    public static final int MAX_TOKENS = 512;
    public static final int TIMEOUT_SECONDS = 600;
    /// Bytes of a request's body at least; the context may allow more.
    static final int BODY = 1 << 20;
    /// Bytes of all bodies larger than [#SMALL] together.
    static final long BODIES = 32L << 20;
    static final int SMALL = 32 << 10;
    /// Connections at once.
    static final int CONNECTIONS = 4096;

    /// @throws dev.gyre.kernels.InputException if other machines could connect without a key, or nobody knows the host
    public void check() {
        ApiServer.host(this);
    }

    /// On this machine only, everything at its default.
    public static ServeOptions local(int port, int slots, int context) {
        return new ServeOptions("127.0.0.1", port, null, slots, context, QUEUE, MAX_TOKENS, 0, 1, 1, TIMEOUT_SECONDS,
                10, 20);
    }

    /// With a key.
    public ServeOptions withKey(@Nullable String k) {
        return new ServeOptions(host, port, k, slots, context, queue, maxTokens, temperature, topP, seed,
                timeoutSeconds, uploadSeconds, stuckSeconds);
    }

    /// Bytes of a request's body at most.
    int body() {
        return Math.max(BODY, 32 * context);
    }
}
