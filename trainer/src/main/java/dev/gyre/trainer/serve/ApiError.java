package dev.gyre.trainer.serve;

import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// A request is answered with an error, in the form of OpenAI's API.
final class ApiError extends Exception {
    private static final long serialVersionUID = 1L;

    final int status;
    private final String type;
    private final @Nullable String param;
    private final @Nullable String code;

    ApiError(int status, String type, @Nullable String param, @Nullable String code, String message) {
        super(message, null, false, false);
        this.status = status;
        this.type = type;
        this.param = param;
        this.code = code;
    }

    /// A request that is wrong at `param`.
    static ApiError wrong(@Nullable String param, String message) {
        return new ApiError(400, "invalid_request_error", param, null, message);
    }

    static ApiError refused(int status, String message) {
        return new ApiError(status, "invalid_request_error", null, null, message);
    }

    /// The server cannot answer now, or failed.
    static ApiError server(int status, String code, String message) {
        return new ApiError(status, "server_error", null, code, message);
    }

    ObjectNode json() {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.putObject("error").put("message", getMessage()).put("type", type).put("param", param).put("code", code);
        return o;
    }
}
