package dev.gyre.trainer.data;

import dev.gyre.model.token.ChatTemplate.Message;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/// Reads a line that is a conversation: `messages`, ShareGPT's `conversations`, or `prompt` and `completion` as lists of
/// messages.
final class Chats {
    /// Names under which published data sets have the two who speak.
    private static final Map<String, String> ROLES = roles();
    /// Roles that no template takes for the one who answers.
    private static final Set<String> OTHERS =
            Set.of("system", "user", "tool", "developer", "function", "ipython", "context", "environment",
                    "observation");
    /// Marks of messages that are trained on (`weight` of OpenAI and Mistral, `train` of Axolotl, `loss` of Swift), and the
    /// one that says the contrary (torchtune).
    private static final List<String> MARKS = List.of("weight", "train", "training", "trainable", "loss_mask", "loss");
    private static final String MASKED = "masked";
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Path file;
    private final int line;
    private final ObjectNode row;

    Chats(Path file, int line, ObjectNode row) {
        this.file = file;
        this.line = line;
        this.row = row;
    }

    private static Map<String, String> roles() {
        Map<String, String> all = new LinkedHashMap<>();
        for (String s : List.of("gpt", "chatgpt", "bing", "bard", "assistant", "model", "bot", "chatbot", "ai", "gpt4",
                "gpt-4", "gpt-3.5", "claude", "gemini", "llama"))
            all.put(s, "assistant");
        for (String s : List.of("human", "user", "prompter"))
            all.put(s, "user");
        all.put("system", "system");
        all.put("tool", "tool");
        all.put("observation", "tool");
        return all;
    }

    Example read(@Nullable JsonNode messages, @Nullable JsonNode conversations) {
        List<Message> all = new ArrayList<>();
        if (messages != null)
            all.addAll(list(messages, "messages", "role", "content"));
        else
            if (conversations != null)
                all.addAll(list(conversations, "conversations", "from", "value"));
            else {
                for (Message m : list(row.path("prompt"), "prompt", "role", "content"))
                    all.add(m.trained(!m.isAnswer()));
                all.addAll(list(row.path("completion"), "completion", "role", "content"));
            }
        String system = system();
        if (system != null) {
            if (all.getFirst().role().equals("system") && !system.equals(all.getFirst().content()))
                throw wrong("has a system text beside the messages and another one in them; give one");
            if (!all.getFirst().role().equals("system"))
                all.addFirst(new Message("system", system));
        }
        if (!ExampleReader.isEmpty(row.path("history")))
            throw wrong("'history' beside messages is not supported; write its turns as messages");
        List<String> unknown = all.stream().map(Message::role).filter(r -> !OTHERS.contains(r)).distinct().toList();
        if (!unknown.isEmpty() && all.stream().noneMatch(Message::isAnswer))
            throw wrong("no message is the assistant's, and the role '" + unknown.getFirst()
                    + "' is not known; call who answers 'assistant'");
        return new Example.Chat(all, variables());
    }

    private DataException wrong(String problem) {
        return new DataException(file, line, problem);
    }

    private @Nullable String system() {
        List<String> keys = Stream.of("system", "system_prompt").filter(k -> !ExampleReader.isEmpty(row.path(k)))
                .toList();
        if (keys.size() > 1)
            throw wrong("has both 'system' and 'system_prompt'; give one");
        return keys.isEmpty() ? null : ExampleReader.string(file, line, row, keys.getFirst());
    }

    /// What the template gets besides the messages.
    private Map<String, @Nullable Object> variables() {
        Map<String, @Nullable Object> all = new LinkedHashMap<>();
        JsonNode more = row.path("chat_template_kwargs");
        if (!ExampleReader.isEmpty(more)) {
            if (!(more instanceof ObjectNode o))
                throw wrong("'chat_template_kwargs' must be an object");
            o.properties().forEach(e -> all.put(e.getKey(), value(e.getValue())));
        }
        for (String key : List.of("tools", "functions", "documents")) {
            JsonNode v = row.path(key);
            if (ExampleReader.isEmpty(v))
                continue;
            // ShareGPT files have them as JSON in a string
            if (v.isString())
                try {
                    v = JSON.readTree(v.stringValue());
                } catch (JacksonException e) {
                    throw wrong("'" + key + "' must be a list, or a string that holds one as JSON");
                }
            if (!v.isArray())
                throw wrong("'" + key + "' must be a list");
            all.put(key, value(v));
        }
        return all;
    }

    private List<Message> list(JsonNode list, String key, String role, String content) {
        String wanted = "'" + key + "' must be a list of {\"" + role + "\": ..., \"" + content + "\": ...}";
        if (!list.isArray() || list.isEmpty())
            throw wrong(wanted);
        List<Message> out = new ArrayList<>();
        for (JsonNode m : list) {
            if (!(m instanceof ObjectNode o))
                throw wrong(wanted);
            // either form of a message occurs under either key
            boolean other = !o.has(role) && !o.has(content);
            out.add(other && o.has("from") && o.has("value") ? message(o, "from", "value", out.size() + 1)
                    : other && o.has("role") && o.has("content") ? message(o, "role", "content", out.size() + 1)
                    : message(o, role, content, out.size() + 1));
        }
        return out;
    }

    private Message message(ObjectNode o, String role, String content, int number) {
        String given = ExampleReader.string(file, line, o, role);
        if (role.equals("from") && given.equals("function_call"))
            return message(called(o, content, number), "role", "content", number);
        String who = ROLES.getOrDefault(given.toLowerCase(Locale.ROOT), given);
        // a template of messages may know the name
        if (role.equals("role") && who.equals("tool"))
            who = given;
        if (role.equals("from") && !who.equals("assistant") && !OTHERS.contains(who))
            throw wrong("the role '" + given + "' of message " + number + " is not known; known are "
                    + String.join(", ", ROLES.keySet()) + ", function_call");
        if (!ExampleReader.isEmpty(o.path("train_detail")))
            throw wrong("'train_detail' of message " + number
                    + " is not supported: a message is trained on as a whole, or not at all");
        @Nullable Boolean trained = null;
        for (String key : MARKS)
            trained = mark(o, key, number, trained);
        trained = mark(o, MASKED, number, trained);
        if (trained != null && trained && !who.equals("assistant"))
            throw wrong("message " + number + " is marked to be trained on and is not the assistant's; only answers"
                    + " can be, or everything (data.train_on: all)");
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> e : o.properties()) {
            String key = e.getKey();
            if (MARKS.contains(key) || key.equals(MASKED) || key.equals("train_detail"))
                continue;
            if (key.equals(role))
                fields.put("role", who);
            else
                if (key.equals(content))
                    fields.put("content", null);
                else
                    if (!e.getValue().isNull()
                            && !(ExampleReader.isEmpty(e.getValue()) && Set.of("tool_calls", "function_call",
                                    "reasoning_content", "reasoning", "thinking").contains(key)))
                        fields.put(key, value(e.getValue()));
        }
        // beside tool calls there may be nothing said
        boolean silent = (!o.has(content) || o.path(content).isNull())
                && (fields.containsKey("tool_calls") || fields.containsKey("function_call"));
        String said = silent ? null : said(o, content, number);
        if (List.copyOf(fields.keySet()).equals(List.of("role", "content")))
            fields.clear();
        return new Message(who, said, trained == null || trained, fields);
    }

    /// What is said, as a text or as a list of one part that is a text: the two that all templates show alike.
    private String said(ObjectNode o, String content, int number) {
        if (!(o.get(content) instanceof ArrayNode parts))
            return ExampleReader.string(file, line, o, content);
        List<String> texts = new ArrayList<>();
        for (JsonNode part : parts) {
            String type = part.path("type").asString("text");
            if (!type.equals("text") || !part.path("text").isString())
                throw wrong("message " + number + " has a part of type '" + type + "' in its '" + content
                        + "'; only text is read: leave the part out, or the row");
            texts.add(part.path("text").stringValue());
        }
        if (texts.size() != 1)
            throw wrong("message " + number + " has " + texts.size() + " parts in its '" + content
                    + "', which templates join in different ways; write one text");
        return texts.getFirst();
    }

    /// ShareGPT's turn `function_call`, whose value is the call (or a list of calls) as JSON, as templates know it: an
    /// answer with `tool_calls`.
    private ObjectNode called(ObjectNode o, String content, int number) {
        String wanted = "the function_call of message " + number
                + " must hold {\"name\": ..., \"arguments\": {...}}, or a list of them, as JSON in a string";
        JsonNode calls;
        try {
            calls = JSON.readTree(ExampleReader.string(file, line, o, content));
        } catch (JacksonException e) {
            throw wrong(wanted);
        }
        ObjectNode out = o.deepCopy();
        out.remove(List.of("from", content));
        out.put("role", "assistant").putNull("content");
        ArrayNode all = out.putArray("tool_calls");
        for (JsonNode call : calls.isArray() ? calls : List.of(calls)) {
            if (!call.path("name").isString() || call.path("arguments").isMissingNode())
                throw wrong(wanted);
            all.addObject().put("type", "function").set("function", call);
        }
        if (all.isEmpty())
            throw wrong(wanted);
        return out;
    }

    private @Nullable Boolean mark(ObjectNode o, String key, int number, @Nullable Boolean before) {
        JsonNode v = o.path(key);
        if (v.isMissingNode() || v.isNull())
            return before;
        boolean yes = v.isBoolean() ? v.booleanValue() : v.isNumber() && v.doubleValue() == 1;
        if (!v.isBoolean() && !(v.isNumber() && (v.doubleValue() == 0 || v.doubleValue() == 1)))
            throw wrong("'" + key + "' of message " + number + " must be 0 or 1, true or false: a message is trained on"
                    + " fully or not at all");
        boolean trained = key.equals(MASKED) != yes;
        if (before != null && before != trained)
            throw wrong("'" + key + "' of message " + number + " contradicts another mark of it");
        return trained;
    }

    private static @Nullable Object value(JsonNode v) {
        return JSON.treeToValue(v, Object.class);
    }
}
