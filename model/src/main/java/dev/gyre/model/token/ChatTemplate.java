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
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
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
    private final String source;
    private final List<JinjaSyntax.Node> template;
    private final Map<String, Object> variables;
    private final @Nullable LocalDateTime date;
    private final JinjaSyntax.@Nullable Failure broken;

    private ChatTemplate(Path origin, String source, Map<String, Object> variables, @Nullable LocalDateTime date) {
        this.origin = origin;
        this.source = source;
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
    ///
    /// @param content null where the template is to see none, as beside tool calls
    /// @param trained whether the loss may count it, where it is the assistant's
    /// @param fields what else the template sees of it, such as `tool_calls` or `reasoning_content`; `role` and `content`
    ///        may be there as well, for their place in the order
    public record Message(String role, @Nullable String content, boolean trained,
            Map<String, @Nullable Object> fields) {
        public Message(String role, @Nullable String content, boolean trained, Map<String, @Nullable Object> fields) {
            this.role = role;
            this.content = content;
            this.trained = trained;
            this.fields = Collections.unmodifiableMap(new LinkedHashMap<>(fields));
        }

        public Message(String role, String content) {
            this(role, content, true, Map.of());
        }

        public boolean isAnswer() {
            return role.equals("assistant");
        }

        /// The same, with or without a part in the loss.
        public Message trained(boolean value) {
            return new Message(role, content, value, fields);
        }

        Map<String, @Nullable Object> seen() {
            Map<String, @Nullable Object> all = new LinkedHashMap<>(fields);
            all.put("role", role);
            all.put("content", content);
            return all;
        }

        /// Where a text shows the content, as templates trim it; -1 if it does not.
        int in(String text) {
            String said = content == null ? "" : content.strip();
            return said.isEmpty() ? -1 : text.indexOf(said);
        }
    }

    /// What a template that does not look at it would leave out without a word.
    private static final List<String> NEEDED_IN_MESSAGES =
            List.of("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking");
    private static final List<String> NEEDED = List.of("tools", "functions", "documents");

    /// Characters `from .. to - 1` of the rendered text, written for message number `message`.
    public record Span(int message, String role, int from, int to) {
    }

    /// A rendered conversation. `turns` is the span of each message, as far as the template writes messages in a loop;
    /// `answers` is what the assistant says in it, end-of-turn token included, the header before it not.
    public record Rendered(String text, List<Span> turns, List<Span> answers) {
    }

    /// A conversation in tokens; `answer` marks those of [Rendered#answers] that are trained on, `left` those of messages
    /// that are not to be trained on.
    public record Tokens(Encoding encoding, BitSet answer, BitSet left) {
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

    /// The template itself.
    public String source() {
        return source;
    }

    /// The conversation as text; with `addGenerationPrompt`, up to where the assistant begins to speak.
    ///
    /// @throws InputException when the template refuses the conversation
    public String render(List<Message> messages, boolean addGenerationPrompt) {
        return render(messages, Map.of(), addGenerationPrompt);
    }

    /// @param more variables of the template that belong to the conversation, such as `tools`
    public String render(List<Message> messages, Map<String, ? extends @Nullable Object> more,
            boolean addGenerationPrompt) {
        return render(messages, more, addGenerationPrompt, new Recorder(List.of()));
    }

    public Rendered render(List<Message> messages) {
        return render(messages, Map.of());
    }

    /// The conversation as text with the places of its messages.
    ///
    /// What the assistant says is what the template marks with `generation`, where it does. Otherwise it is what the loop
    /// over the messages writes for an assistant's message, less the generation prompt it starts with; for a template
    /// without such a loop, what its message adds to the rendered text.
    ///
    /// @param more variables of the template that belong to the conversation, such as `tools`
    public Rendered render(List<Message> messages, Map<String, ? extends @Nullable Object> more) {
        used(messages, more);
        var recorder = new Recorder(messages);
        String text = render(messages, more, false, recorder);
        return new Rendered(text, recorder.turns(), new Answers(messages, more, text, recorder).all());
    }

    /// Refuses what the template would leave out: the model would learn to say less than the example does.
    private void used(List<Message> messages, Map<String, ? extends @Nullable Object> more) {
        for (String key : NEEDED)
            if (more.get(key) != null && !mentions(key)) {
                Map<String, @Nullable Object> without = new LinkedHashMap<>(more);
                without.remove(key);
                unused(key, "", render(messages, more, false), render(messages, without, false));
            }
        for (String key : NEEDED_IN_MESSAGES)
            if (messages.stream().anyMatch(m -> m.fields().get(key) != null) && !mentions(key)) {
                List<Message> without = messages.stream().map(m -> {
                    Map<String, @Nullable Object> fields = new LinkedHashMap<>(m.fields());
                    fields.remove(key);
                    return new Message(m.role(), m.content(), m.trained(), fields);
                }).toList();
                unused(key, " of a message", render(messages, more, false), render(without, more, false));
            }
    }

    private boolean mentions(String key) {
        return Pattern.compile("\\b" + key + "\\b").matcher(source).find();
    }

    /// A template may write keys that it does not name, such as by `tojson` of a message.
    private void unused(String key, String where, String with, String without) {
        if (with.equals(without))
            throw new InputException("'" + key + "'" + where + " has no place in the model's chat template (" + origin
                    + "); write it as text, or under the name that the template has for it, or leave it out");
    }

    /// Finds what the assistant says in a rendered conversation.
    private final class Answers {
        private final List<Message> messages;
        private final Map<String, ? extends @Nullable Object> more;
        private final String text;
        private final Recorder recorder;
        private final List<Span> turns;

        Answers(List<Message> messages, Map<String, ? extends @Nullable Object> more, String text, Recorder recorder) {
            this.messages = messages;
            this.more = more;
            this.text = text;
            this.recorder = recorder;
            this.turns = recorder.turns();
        }

        List<Span> all() {
            if (recorder.lost > 0)
                throw new FormatException(origin, "chat template, line " + recorder.lost
                        + ": the text of the {% generation %}"
                        + " block is changed before it is written, so the answer cannot be marked; write the block where"
                        + " its text is written");
            if (!recorder.generations.isEmpty())
                return generations();
            List<Span> out = new ArrayList<>();
            for (int i = 0; i < messages.size(); i++)
                if (messages.get(i).isAnswer())
                    out.add(answer(i));
            return out;
        }

        /// Blocks outside a loop over messages belong to the assistant's messages in their order.
        private List<Span> generations() {
            List<Integer> answers = new ArrayList<>();
            for (int i = 0; i < messages.size(); i++)
                if (messages.get(i).isAnswer())
                    answers.add(i);
            List<int[]> blocks = recorder.generations;
            List<Span> out = new ArrayList<>();
            for (int k = 0; k < blocks.size(); k++) {
                int from = blocks.get(k)[0];
                int to = blocks.get(k)[1];
                int message = recorder.messageAt(from, to);
                if (message < 0 && blocks.size() == answers.size())
                    message = answers.get(k);
                if (message < 0 && answers.stream().anyMatch(i -> !messages.get(i).trained()))
                    throw new InputException("the chat template (" + origin + ") does not show which message a"
                            + " {% generation %} block belongs to, so a message cannot be left out of training");
                out.add(new Span(message, "assistant", from, to));
            }
            return out;
        }

        private Span answer(int i) {
            for (Span turn : turns)
                if (turn.message() == i)
                    return new Span(i, "assistant", turn.from() + header(i, turn), turn.to());
            String prompted = i == 0 ? null : rendered(messages.subList(0, i), more, true);
            if (prompted == null)
                throw new InputException(origin + ": the chat template does not show which text is message "
                        + (i + 1) + "'s; give it a {% generation %} mark");
            String longer = i == messages.size() - 1 ? text : rendered(messages.subList(0, i + 1), more, false);
            int from = common(prompted, text);
            return new Span(i, "assistant", from,
                    longer == null ? text.length() : Math.max(from, common(longer, text)));
        }

        /// Length of the generation prompt at the start of a turn.
        private int header(int i, Span turn) {
            Message m = messages.get(i);
            String said = text.substring(turn.from(), turn.to());
            String prompted = i == 0 ? null : rendered(messages.subList(0, i), more, true);
            if (prompted != null && prompted.startsWith(text.substring(0, turn.from())))
                return begin(prompted.substring(turn.from()), said, m);
            // the first message, or a template that renders the messages before another way when they are the last
            String opening = prompted == null ? opening(List.of(new Message("user", "x")))
                    : opening(messages.subList(0, i));
            int at = opening.isEmpty() ? -1 : said.indexOf(opening);
            if (at >= 0)
                return at + opening.length();
            int content = m.in(said);
            return content < 0 ? common(opening, said) : content;
        }

        /// What the template adds to a conversation so that the assistant speaks next.
        private String opening(List<Message> before) {
            String with = rendered(before, more, true);
            String without = rendered(before, more, false);
            return with == null || without == null ? "" : with.substring(common(with, without));
        }
    }

    /// A prompt may open more than a turn does (`<think>`): then the answer starts where the two part, and at the latest
    /// where the content does, which may begin as the rest of the prompt does.
    private static int begin(String prompt, String turn, Message m) {
        if (turn.startsWith(prompt))
            return prompt.length();
        int same = common(prompt, turn);
        int content = m.in(turn);
        return content < 0 ? same : Math.min(same, content);
    }

    /// A prefix of a conversation; null if the template refuses it although it accepts the whole.
    private @Nullable String rendered(List<Message> messages, Map<String, ? extends @Nullable Object> more,
            boolean addGenerationPrompt) {
        try {
            return render(messages, more, addGenerationPrompt);
        } catch (IllegalArgumentException | InputException | FormatException e) {
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

    public Tokens tokens(Tokenizer tokenizer, List<Message> messages) {
        return tokens(tokenizer, messages, Map.of());
    }

    /// The conversation in tokens. The template writes special tokens itself, so none are added. An answer begins with a
    /// token of its own, as when the model is asked.
    ///
    /// @param more variables of the template that belong to the conversation, such as `tools`
    public Tokens tokens(Tokenizer tokenizer, List<Message> messages, Map<String, ? extends @Nullable Object> more) {
        Rendered rendered = render(messages, more);
        Encoding encoding = apart(tokenizer, rendered.text(), rendered.answers());
        var answer = new BitSet(encoding.size());
        var left = new BitSet(encoding.size());
        for (Span s : rendered.answers())
            mark(encoding, s, s.message() < 0 || messages.get(s.message()).trained() ? answer : left);
        for (int i = 0; i < messages.size(); i++)
            if (!messages.get(i).trained() && !messages.get(i).isAnswer()) {
                int number = i;
                Span turn = rendered.turns().stream().filter(s -> s.message() == number).findFirst()
                        .orElseThrow(() -> new InputException("the chat template (" + origin + ") does not show which"
                                + " text is message " + (number + 1) + "'s, which is not to be trained on"));
                mark(encoding, turn, left);
            }
        return new Tokens(encoding, answer, left);
    }

    private static void mark(Encoding encoding, Span s, BitSet in) {
        for (int i = 0; i < encoding.size(); i++)
            if (encoding.from(i) < s.to() && Math.max(encoding.to(i), encoding.from(i) + 1) > s.from())
                in.set(i);
    }

    /// Tokens up to where the assistant begins to speak, as [#tokens] has them there.
    public int[] prompt(Tokenizer tokenizer, List<Message> messages, Map<String, ? extends @Nullable Object> more) {
        used(messages, more);
        var recorder = new Recorder(messages);
        String text = render(messages, more, true, recorder);
        if (messages.stream().noneMatch(Message::isAnswer))
            return tokenizer.encode(text, false);
        List<Span> answers;
        try {
            answers = new Answers(messages, more, text, recorder).all();
        } catch (InputException | FormatException e) {
            // a template that cannot be trained with can be asked all the same
            answers = List.of();
        }
        return apart(tokenizer, text, answers).ids();
    }

    /// The text in tokens, none of which reaches from before an answer into it.
    private static Encoding apart(Tokenizer tokenizer, String text, List<Span> answers) {
        Encoding whole = tokenizer.encodeWithOffsets(text, false);
        int[] cuts = answers.stream().mapToInt(Span::from).filter(at -> at > 0 && at < text.length())
                .sorted().distinct().toArray();
        if (IntStream.of(cuts).noneMatch(whole::crosses))
            return whole;
        Encoding out = tokenizer.encodeWithOffsets(text.substring(0, cuts[0]), false);
        for (int i = 0; i < cuts.length; i++)
            out = out.plus(tokenizer.encodeMore(
                    text.substring(cuts[i], i + 1 < cuts.length ? cuts[i + 1] : text.length())), cuts[i]);
        return out;
    }

    private String render(List<Message> messages, Map<String, ? extends @Nullable Object> more,
            boolean addGenerationPrompt, Recorder recorder) {
        Map<String, @Nullable Object> all = new LinkedHashMap<>(variables);
        // None, as transformers passes them: templates ask whether they are none, not only whether they are defined
        all.put("tools", null);
        all.put("documents", null);
        all.putAll(more);
        List<Map<String, @Nullable Object>> list = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            Map<String, @Nullable Object> m = messages.get(i).seen();
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
