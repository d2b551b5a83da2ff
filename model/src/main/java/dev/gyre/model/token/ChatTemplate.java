package dev.gyre.model.token;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Inputs;
import dev.gyre.model.files.Json;
import dev.gyre.model.token.jinja.Jinja;
import dev.gyre.model.token.jinja.JinjaParser;
import dev.gyre.model.token.jinja.JinjaSyntax;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/// The format of conversations that a model expects: the Jinja template that comes with its tokenizer.
///
/// Rendering depends on nothing but its input: `strftime_now` shows the date given, and is undefined without one
/// (templates then use the date written in them or say that they need one).
///
/// A template that cannot be read is refused when it is rendered, so that models whose template is not needed load.
public final class ChatTemplate {
    /// Bytes; the longest published template has 20 thousand.
    private static final long LIMIT = 1 << 20;

    private final Path origin;
    private final List<JinjaSyntax.Node> template;
    private final Map<String, Object> variables;
    private final @Nullable LocalDateTime date;
    private final JinjaSyntax.@Nullable Failure broken;

    private ChatTemplate(Path origin, String source, Map<String, Object> variables, @Nullable LocalDateTime date) {
        this.origin = origin;
        this.variables = Map.copyOf(variables);
        this.date = date;
        List<JinjaSyntax.Node> nodes = List.of();
        JinjaSyntax.Failure failure = null;
        try {
            nodes = JinjaParser.parse(source);
        } catch (JinjaSyntax.Failure e) {
            failure = e;
        }
        this.template = nodes;
        this.broken = failure;
    }

    /// One turn of a conversation; roles are system, user, assistant, or what else the template knows.
    public record Message(String role, String content) {
    }

    /// Characters `from .. to - 1` of the rendered text, written for message number `message`.
    public record Span(int message, String role, int from, int to) {
    }

    /// A rendered conversation. `turns` is the span of each message, as far as the template writes messages in a loop;
    /// `answers` is what the assistant says in it, end-of-turn token included, the header before it not.
    public record Rendered(String text, List<Span> turns, List<Span> answers) {
    }

    /// A conversation in tokens; `answer` marks those of [Rendered#answers]. A token that reaches into an answer from
    /// before belongs to it.
    public record Tokens(Encoding encoding, BitSet answer) {
    }

    /// @param origin file named in messages
    /// @param variables what the template can refer to besides the messages, such as `bos_token`
    public static ChatTemplate of(Path origin, String source, Map<String, Object> variables) {
        return of(origin, source, variables, null);
    }

    /// @param date what `strftime_now` shows, null to leave it undefined
    public static ChatTemplate of(Path origin, String source, Map<String, Object> variables,
            @Nullable LocalDateTime date) {
        return new ChatTemplate(origin, source, variables, date);
    }

    /// The template of a model directory: `chat_template.jinja`, or `chat_template` in `chat_template.json` or
    /// `tokenizer_config.json`; null if it has none.
    public static @Nullable ChatTemplate load(Path directory) {
        return load(directory, null);
    }

    /// @param date what `strftime_now` shows, null to leave it undefined
    public static @Nullable ChatTemplate load(Path directory, @Nullable LocalDateTime date) {
        Path config = directory.resolve("tokenizer_config.json");
        ObjectNode json = Files.exists(config) ? Json.readObject(config) : null;
        Map<String, Object> variables = new TreeMap<>(SpecialTokens.named(directory));
        Path file = directory.resolve("chat_template.jinja");
        if (Files.exists(file))
            return of(file, Inputs.text(file, LIMIT), variables, date);
        Path processor = directory.resolve("chat_template.json");
        if (Files.exists(processor))
            return ofJson(processor, Json.readObject(processor), variables, date);
        return json == null ? null : ofJson(config, json, variables, date);
    }

    private static @Nullable ChatTemplate ofJson(Path file, ObjectNode json, Map<String, Object> variables,
            @Nullable LocalDateTime date) {
        JsonNode node = json.path("chat_template");
        if (node.isArray())
            for (JsonNode named : node)
                if (named.path("name").asString("").equals("default"))
                    node = named.path("template");
        return node.isString() ? of(file, node.stringValue(), variables, date) : null;
    }

    /// The conversation as text; with `addGenerationPrompt`, up to where the assistant begins to speak.
    ///
    /// @throws InputException when the template refuses the conversation
    public String render(List<Message> messages, boolean addGenerationPrompt) {
        return render(messages, addGenerationPrompt, new Recorder(List.of()));
    }

    /// The conversation as text with the places of its messages.
    ///
    /// What the assistant says is what the template marks with `generation`, where it does. Otherwise it is what the loop
    /// over the messages writes for an assistant's message, less the generation prompt it starts with; for a template
    /// without such a loop, what its message adds to the rendered text.
    public Rendered render(List<Message> messages) {
        var recorder = new Recorder(messages);
        String text = render(messages, false, recorder);
        if (recorder.lost > 0)
            throw new FormatException(origin, "chat template, line " + recorder.lost
                    + ": the text of the {% generation %}"
                    + " block is changed before it is written, so the answer cannot be marked; write the block where"
                    + " its text is written");
        List<Span> answers = new ArrayList<>();
        if (!recorder.generations.isEmpty()) {
            for (int[] g : recorder.generations)
                answers.add(new Span(recorder.messageAt(g[0], g[1]), "assistant", g[0], g[1]));
            return new Rendered(text, recorder.turns(), answers);
        }
        for (int i = 0; i < messages.size(); i++)
            if (messages.get(i).role().equals("assistant"))
                answers.add(answer(messages, i, text, recorder));
        return new Rendered(text, recorder.turns(), answers);
    }

    private Span answer(List<Message> messages, int i, String text, Recorder recorder) {
        String prompted = i == 0 ? null : rendered(messages.subList(0, i), true);
        for (Span turn : recorder.turns())
            if (turn.message() == i)
                return new Span(i, "assistant", turn.from() + header(prompted, text, turn), turn.to());
        if (prompted == null)
            throw new InputException(origin + ": the chat template does not show which text is message "
                    + (i + 1) + "'s; give it a {% generation %} mark");
        String more = i == messages.size() - 1 ? text : rendered(messages.subList(0, i + 1), false);
        int from = common(prompted, text);
        return new Span(i, "assistant", from, more == null ? text.length() : Math.max(from, common(more, text)));
    }

    /// Length of the generation prompt at the start of a turn: what the conversation before it, rendered with the prompt,
    /// has in common with the turn.
    private static int header(@Nullable String prompted, String text, Span turn) {
        if (prompted == null || !prompted.startsWith(text.substring(0, turn.from())))
            return 0;
        return common(prompted.substring(turn.from()), text.substring(turn.from(), turn.to()));
    }

    /// A prefix of a conversation; null if the template refuses it although it accepts the whole.
    private @Nullable String rendered(List<Message> messages, boolean addGenerationPrompt) {
        try {
            return render(messages, addGenerationPrompt);
        } catch (IllegalArgumentException | InputException e) {
            return null;
        }
    }

    private static int common(String a, String b) {
        int n = Math.min(a.length(), b.length());
        for (int i = 0; i < n; i++)
            if (a.charAt(i) != b.charAt(i))
                return i;
        return n;
    }

    /// The conversation in tokens. The template writes special tokens itself, so none are added.
    public Tokens tokens(Tokenizer tokenizer, List<Message> messages) {
        Rendered rendered = render(messages);
        Encoding encoding = tokenizer.encodeWithOffsets(rendered.text(), false);
        var answer = new BitSet(encoding.size());
        for (Span s : rendered.answers())
            for (int i = 0; i < encoding.size(); i++)
                if (encoding.from(i) < s.to() && Math.max(encoding.to(i), encoding.from(i) + 1) > s.from())
                    answer.set(i);
        return new Tokens(encoding, answer);
    }

    private String render(List<Message> messages, boolean addGenerationPrompt, Recorder recorder) {
        Map<String, @Nullable Object> all = new LinkedHashMap<>(variables);
        // None, as transformers passes them: templates ask whether they are none, not only whether they are defined
        all.put("tools", null);
        all.put("documents", null);
        List<Map<String, Object>> list = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("role", messages.get(i).role());
            m.put("content", messages.get(i).content());
            list.add(m);
            recorder.numbers.put(m, i);
        }
        all.put("messages", list);
        all.put("add_generation_prompt", addGenerationPrompt);
        try {
            if (broken != null)
                throw broken;
            return Jinja.render(template, all, date, recorder);
        } catch (JinjaSyntax.Failure e) {
            throw new FormatException(origin, "chat template, " + e.getMessage(), e);
        } catch (Jinja.Refusal e) {
            throw new InputException(origin + ": the chat template refuses this conversation: "
                    + e.getMessage(), e);
        }
    }

    /// Notes which output belongs to which message.
    private static final class Recorder implements Jinja.Listener {
        final Map<Object, Integer> numbers = new IdentityHashMap<>();
        final List<int[]> generations = new ArrayList<>();
        private final List<Message> messages;
        private final int[][] places;
        /// Line of a generation block whose place is not known, 0 if there is none.
        int lost;

        Recorder(List<Message> messages) {
            this.messages = messages;
            this.places = new int[messages.size()][];
        }

        @Override
        public void turn(@Nullable Object item, int from, int to) {
            Integer i = item == null ? null : numbers.get(item);
            if (i == null || i >= places.length)
                return;
            int[] p = places[i];
            places[i] = p == null ? new int[] {from, to} : new int[] {Math.min(p[0], from), Math.max(p[1], to)};
        }

        @Override
        public void generation(int from, int to) {
            generations.add(new int[] {from, to});
        }

        @Override
        public void lost(int line) {
            lost = line;
        }

        int messageAt(int from, int to) {
            for (Span s : turns())
                if (s.from() <= from && to <= s.to())
                    return s.message();
            return -1;
        }

        List<Span> turns() {
            List<Span> all = new ArrayList<>();
            for (int i = 0; i < places.length; i++)
                if (places[i] != null)
                    all.add(new Span(i, messages.get(i).role(), places[i][0], places[i][1]));
            return all;
        }
    }
}
