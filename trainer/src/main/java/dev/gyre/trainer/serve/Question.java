package dev.gyre.trainer.serve;

import dev.gyre.model.files.Json;
import dev.gyre.model.token.ChatTemplate;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// The body of a request, checked: what would change the answer and cannot be done is refused by name.
///
/// @param messages of a chat; null for a completion
/// @param prompt text of a completion; null where it is given as tokens, and for a chat
/// @param tokens of a completion's prompt
/// @param most tokens of the answer; 0 where the request does not say
/// @param temperature null where the request does not say, as `topP` and `seed`
/// @param usage whether a stream ends with the numbers of tokens
record Question(String model, @Nullable List<ChatTemplate.Message> messages, @Nullable String prompt,
        int @Nullable [] tokens, int most, @Nullable Double temperature, @Nullable Double topP, @Nullable Long seed,
        List<String> stops, boolean stream, boolean usage) {
    private static final int STOPS = 16;
    private static final int STOP_LENGTH = 256;
    private static final Set<String> ROLES = Set.of("system", "developer", "user", "assistant");
    /// Known, and without an effect here.
    private static final Set<String> UNUSED = Set.of("user", "store", "metadata", "service_tier", "parallel_tool_calls",
            "safety_identifier", "prompt_cache_key", "prompt_cache_retention");
    private static final Set<String> BOTH = Set.of("model", "max_tokens", "temperature", "top_p", "seed", "stop",
            "stream", "stream_options");
    private static final Set<String> CHAT = Set.of("messages", "max_completion_tokens");

    static Question read(byte[] body, boolean chat) throws ApiError {
        JsonNode parsed;
        try {
            parsed = Json.MAPPER.readTree(body);
        } catch (JacksonException e) {
            throw ApiError.wrong(null, "the body is not valid JSON: " + Json.reason(e));
        }
        if (!(parsed instanceof ObjectNode o))
            throw ApiError.wrong(null, "the body is not a JSON object");
        for (var e : o.properties()) {
            String key = e.getKey();
            if (!BOTH.contains(key) && !UNUSED.contains(key) && !(chat ? CHAT.contains(key) : key.equals("prompt"))
                    && !e.getValue().isNull())
                refuse(key, e.getValue(), chat);
        }
        String model = text(o, "model");
        if (model == null)
            throw ApiError.wrong("model", "model is missing; /v1/models has the names");
        long most = whole(o, "max_tokens", 1, Integer.MAX_VALUE, 0);
        if (chat)
            most = whole(o, "max_completion_tokens", 1, Integer.MAX_VALUE, most);
        Double temperature = number(o, "temperature", 0, 2);
        Double topP = number(o, "top_p", 0, 1);
        if (topP != null && topP == 0)
            throw ApiError.wrong("top_p", "top_p must be above 0; temperature 0 takes the likeliest token");
        Long seed = o.path("seed").isMissingNode() || o.path("seed").isNull() ? null
                : whole(o, "seed", Long.MIN_VALUE, Long.MAX_VALUE, 0);
        boolean stream = flag(o, "stream");
        boolean usage = false;
        JsonNode options = o.path("stream_options");
        if (!options.isMissingNode() && !options.isNull()) {
            if (!(options instanceof ObjectNode so))
                throw ApiError.wrong("stream_options", "stream_options must be an object");
            if (!stream)
                throw ApiError.wrong("stream_options", "stream_options is for stream: true only");
            for (String key : so.propertyNames())
                if (!key.equals("include_usage") && !key.equals("include_obfuscation"))
                    throw ApiError.wrong("stream_options", "stream_options." + key + " is not supported");
            usage = flag(so, "include_usage");
        }
        List<ChatTemplate.Message> messages = chat ? messages(o.path("messages")) : null;
        String prompt = null;
        int[] tokens = null;
        if (!chat) {
            JsonNode p = o.path("prompt");
            if (p.isArray() && p.size() == 1 && (p.get(0).isString() || p.get(0).isArray()))
                p = p.get(0);
            if (p.isString())
                prompt = p.stringValue();
            else
                tokens = ids(p);
        }
        return new Question(model, messages, prompt, tokens, (int) most, temperature, topP, seed, stops(o.path("stop")),
                stream, usage);
    }

    /// A key that is not read: fine where its value is what happens anyway.
    private static void refuse(String key, JsonNode v, boolean chat) throws ApiError {
        boolean fine = switch (key) {
            case "n", "best_of" -> v.isIntegralNumber() && v.longValue() == 1;
            case "presence_penalty", "frequency_penalty" -> v.isNumber() && v.doubleValue() == 0;
            case "logit_bias", "tools", "functions" -> v.isEmpty();
            case "logprobs", "echo" -> v.isBoolean() && !v.booleanValue();
            case "top_logprobs" -> v.isIntegralNumber() && v.longValue() == 0;
            case "tool_choice", "function_call" -> v.isString() && Set.of("none", "auto").contains(v.stringValue());
            case "response_format" -> v.path("type").isString() && v.path("type").stringValue().equals("text");
            case "modalities" -> v.isArray() && v.size() == 1 && v.get(0).isString()
                    && v.get(0).stringValue().equals("text");
            default -> false;
        };
        if (!fine)
            throw ApiError.wrong(key, switch (key) {
                case "n", "best_of" -> key + " must be 1: there is one answer to a request";
                case "messages" -> "messages belongs to /v1/chat/completions; here the text is prompt";
                case "prompt" -> "prompt belongs to /v1/completions; here the conversation is messages";
                case "max_completion_tokens" ->
                        "max_completion_tokens belongs to /v1/chat/completions; here it is max_tokens";
                default -> key + " is not supported" + (chat ? " by /v1/chat/completions" : " by /v1/completions")
                        + " here; leave it out";
            });
    }

    private static @Nullable String text(ObjectNode o, String key) throws ApiError {
        JsonNode v = o.path(key);
        if (v.isMissingNode() || v.isNull())
            return null;
        if (!v.isString())
            throw ApiError.wrong(key, key + " must be a string");
        return v.stringValue();
    }

    private static boolean flag(ObjectNode o, String key) throws ApiError {
        JsonNode v = o.path(key);
        if (v.isMissingNode() || v.isNull())
            return false;
        if (!v.isBoolean())
            throw ApiError.wrong(key, key + " must be true or false");
        return v.booleanValue();
    }

    private static long whole(ObjectNode o, String key, long least, long most, long absent) throws ApiError {
        JsonNode v = o.path(key);
        if (v.isMissingNode() || v.isNull())
            return absent;
        if (!v.isIntegralNumber() || !v.canConvertToLong() || v.longValue() < least || v.longValue() > most)
            throw ApiError.wrong(key, key + " must be a whole number" + (least == 1 ? " of at least 1" : ""));
        return v.longValue();
    }

    private static @Nullable Double number(ObjectNode o, String key, double least, double most) throws ApiError {
        JsonNode v = o.path(key);
        if (v.isMissingNode() || v.isNull())
            return null;
        if (!v.isNumber() || !(v.doubleValue() >= least && v.doubleValue() <= most))
            throw ApiError.wrong(key, key + " must be a number from " + (int) least + " to " + (int) most);
        return v.doubleValue();
    }

    private static List<String> stops(JsonNode v) throws ApiError {
        List<String> out = new ArrayList<>();
        if (v.isString())
            out.add(v.stringValue());
        else
            if (v.isArray()) {
                for (JsonNode s : v) {
                    if (!s.isString())
                        throw ApiError.wrong("stop", "stop must be a string or an array of strings");
                    out.add(s.stringValue());
                }
            } else
                if (!v.isMissingNode() && !v.isNull())
                    throw ApiError.wrong("stop", "stop must be a string or an array of strings");
        if (out.size() > STOPS)
            throw ApiError.wrong("stop", "stop has " + out.size() + " strings; there may be " + STOPS);
        for (String s : out)
            if (s.isEmpty() || s.length() > STOP_LENGTH)
                throw ApiError.wrong("stop", "strings in stop must have 1 to " + STOP_LENGTH + " characters");
        return out;
    }

    private static int[] ids(JsonNode v) throws ApiError {
        if (!v.isArray() || v.isEmpty())
            throw ApiError.wrong("prompt", "prompt must be a string or an array of token ids, one prompt to a request");
        int[] out = new int[v.size()];
        for (int i = 0; i < out.length; i++) {
            if (!v.get(i).isIntegralNumber() || !v.get(i).canConvertToInt())
                throw ApiError.wrong("prompt",
                        "prompt must be a string or an array of token ids, one prompt to a request");
            out[i] = v.get(i).intValue();
        }
        return out;
    }

    private static List<ChatTemplate.Message> messages(JsonNode v) throws ApiError {
        if (!v.isArray() || v.isEmpty())
            throw ApiError.wrong("messages", "messages must be an array of at least one message");
        List<ChatTemplate.Message> out = new ArrayList<>();
        for (int i = 0; i < v.size(); i++) {
            String at = "messages[" + i + "]";
            if (!(v.get(i) instanceof ObjectNode m))
                throw ApiError.wrong(at, at + " must be an object");
            for (var e : m.properties())
                if (!Set.of("role", "content", "name").contains(e.getKey()) && !e.getValue().isNull()
                        && !e.getValue().isEmpty())
                    throw ApiError.wrong(at + "." + e.getKey(), at + "." + e.getKey() + " is not supported");
            JsonNode role = m.path("role");
            if (!role.isString() || !ROLES.contains(role.stringValue()))
                throw ApiError.wrong(at + ".role", at + ".role must be system, developer, user or assistant");
            String who = role.stringValue().equals("developer") ? "system" : role.stringValue();
            out.add(new ChatTemplate.Message(who, content(m.path("content"), at + ".content")));
        }
        return out;
    }

    private static String content(JsonNode v, String at) throws ApiError {
        if (v.isString())
            return v.stringValue();
        if (!v.isArray() || v.isEmpty())
            throw ApiError.wrong(at, at + " must be a string or an array of parts of type text");
        StringBuilder all = new StringBuilder();
        for (JsonNode part : v) {
            if (!part.path("type").isString() || !part.path("type").stringValue().equals("text")
                    || !part.path("text").isString())
                throw ApiError.wrong(at, at + " must have parts of type text only");
            all.append(part.path("text").stringValue());
        }
        return all.toString();
    }
}
