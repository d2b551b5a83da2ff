package dev.gyre.trainer.data;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.files.Sha256;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.Encoding;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import dev.gyre.trainer.config.RunConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// Text as one model reads and writes it: its tokenizer, its chat template, the tokens that end an answer.
///
/// A task and its answer are tokenised as one text, as running text, unless a token would reach from the one into the
/// other: then the two are tokenised apart. So a prompt has the tokens that it had in training when the model is asked.
public final class ModelText implements AutoCloseable {
    /// Longest answer that is generated for a task, in tokens.
    public static final int ANSWER_TOKENS = 64;

    private final Tokenizer tokenizer;
    private final @Nullable ChatTemplate template;
    private final Path origin;
    private final int eos;
    private final Set<Integer> stops;
    /// Tokens that the model has rows for.
    private final int vocabulary;
    private final @Nullable LocalDateTime date;

    private ModelText(Tokenizer tokenizer, @Nullable ChatTemplate template, Path origin, Set<Integer> stops,
            int vocabulary, @Nullable LocalDateTime date) {
        this.date = date;
        this.vocabulary = vocabulary;
        this.tokenizer = tokenizer;
        this.template = template;
        this.origin = origin;
        this.stops = stops;
        this.eos = tokenizer.eosId() >= 0 ? tokenizer.eosId() : stops.stream().findFirst().orElse(-1);
        if (eos >= 0)
            stops.add(eos);
    }

    /// The text side of a model directory; its chat template knows no date.
    public static ModelText load(Path directory) {
        return load(directory, null);
    }

    /// The text side of the model of a run.
    public static ModelText load(RunConfig c) {
        return load(c.model().directory(), c.data().day());
    }

    /// The text side of a model directory.
    ///
    /// @param date what chat templates show that ask for today's date
    public static ModelText load(Path directory, @Nullable LocalDateTime date) {
        ModelDir.require(directory);
        Set<Integer> stops = new LinkedHashSet<>();
        for (String file : List.of("generation_config.json", "config.json"))
            if (Files.exists(directory.resolve(file))) {
                JsonNode ids = Json.readObject(directory.resolve(file)).path("eos_token_id");
                if (ids.isIntegralNumber())
                    stops.add(ids.intValue());
                for (JsonNode id : ids)
                    stops.add(id.asInt(-1));
            }
        Path config = directory.resolve("config.json");
        int vocabulary = Files.exists(config) ? Json.readObject(config).path("vocab_size").asInt(Integer.MAX_VALUE)
                : Integer.MAX_VALUE;
        return new ModelText(Tokenizers.load(directory), ChatTemplate.load(directory, date), directory, stops,
                vocabulary, date);
    }

    /// Bytes as tokens, without a chat template.
    public static ModelText bytes() {
        return of(new ByteTokenizer(), null);
    }

    static ModelText of(Tokenizer tokenizer, @Nullable ChatTemplate template) {
        return new ModelText(tokenizer, template, Path.of("tokenizer"), new LinkedHashSet<>(),
                Integer.MAX_VALUE, null);
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    /// A hash of all that tokens follow from here, the same as long as the files are: those of the model's folder but its
    /// weights. Null for a tokenizer that has no files.
    @Nullable
    String fingerprint() {
        if (tokenizer instanceof ByteTokenizer b && !Files.isDirectory(origin))
            return template == null ? "bytes " + new TreeMap<>(b.files()) : null;
        if (!Files.isDirectory(origin))
            return null;
        StringBuilder all = new StringBuilder().append(date);
        try (Stream<Path> s = Files.list(origin)) {
            for (Path p : s.filter(Files::isRegularFile).sorted().toList())
                if (FINGERPRINT.stream().anyMatch(String.valueOf(p.getFileName())::endsWith))
                    all.append('\n').append(p.getFileName()).append(' ').append(Sha256.of(p));
        } catch (IOException e) {
            throw FormatException.unreadable(origin, e);
        }
        return all.toString();
    }

    private static final List<String> FINGERPRINT = List.of(".json", ".jinja", ".model", ".txt");

    /// Whether conversations can be rendered.
    public boolean hasTemplate() {
        return template != null;
    }

    /// Tokens that end an answer when the model says them.
    public Set<Integer> stops() {
        return Set.copyOf(stops);
    }

    /// Tokens of a prompt, with what the model expects before a text. The end token that some tokenizers append to every text
    /// is left out: a prompt goes on.
    public int[] prompt(String text) {
        int[] ids = known(tokenizer.encode(text, true));
        return endsIn(eos, ids) && !endsIn(eos, more(text)) ? Arrays.copyOf(ids, ids.length - 1) : ids;
    }

    private static boolean endsIn(int id, int[] ids) {
        return id >= 0 && ids.length > 0 && ids[ids.length - 1] == id;
    }

    /// Tokens of a conversation up to where the assistant begins to speak.
    public int[] prompt(List<ChatTemplate.Message> messages) {
        return prompt(messages, Map.of());
    }

    private int[] prompt(List<ChatTemplate.Message> messages, Map<String, @Nullable Object> variables) {
        return known(template().prompt(tokenizer, messages, variables));
    }

    /// Tokens of a text that continues another.
    int[] more(String text) {
        return known(tokenizer.encode(text, false));
    }

    /// A token that was added to the tokenizer and not to the model would end a run at the first step that meets it.
    private int[] known(int... ids) {
        for (int id : ids)
            if (id >= vocabulary)
                throw new InputException("the token '" + tokenizer.decodeWithSpecial(id) + "' (" + id
                        + ") has no row in the model, whose vocab_size is " + vocabulary
                        + "; add rows with transformers: model.resize_token_embeddings(len(tokenizer)), or leave it out");
        return ids;
    }

    /// Longest sequence when the tasks are answered, the prompt included.
    ///
    /// @param context of the model, in tokens
    public int room(List<Task> tasks, int context) {
        int longest = tasks.stream().mapToInt(t -> t.prompt().length).max().orElse(1);
        return Math.min(longest + ANSWER_TOKENS, context);
    }

    public StreamDecoder stream() {
        return tokenizer.stream();
    }

    /// Tokens and which of them the loss counts.
    ///
    /// @param apart whether prompt and answer were tokenised apart, because a token would have joined them
    /// @param ended whether the last answer ends in a token at which generation stops
    record Masked(int[] tokens, BitSet target, boolean apart, boolean ended) {
    }

    /// @param all whether everything counts, not only answers
    Masked masked(Example example, boolean all) {
        Masked m = marked(example, all);
        known(m.tokens);
        return m;
    }

    private Masked marked(Example example, boolean all) {
        return switch (example) {
            case Example.Text t -> ended(tokenizer.encodeWithOffsets(t.text(), true).ids(), 0, false);
            case Example.Completion c -> completion(c, all);
            case Example.Chat c -> {
                ChatTemplate.Tokens t = template().tokens(tokenizer, c.messages(), c.variables());
                int[] ids = t.encoding().ids();
                BitSet target = t.answer();
                boolean ended = target.isEmpty() || stop(ids, target.previousClearBit(target.length() - 1) + 1,
                        target.length()) >= 0;
                if (all)
                    target.set(0, ids.length);
                target.andNot(t.left());
                yield new Masked(ids, target, false, ended);
            }
        };
    }

    /// The first token in a range at which generation stops, or -1.
    private int stop(int[] ids, int from, int to) {
        for (int i = from; i < to; i++)
            if (stops.contains(ids[i]))
                return i;
        return -1;
    }

    /// Prompt and completion as one text where that starts with the tokens that the prompt has by itself.
    private Masked completion(Example.Completion c, boolean all) {
        Encoding whole = tokenizer.encodeWithOffsets(c.prompt() + c.completion(), true);
        int[] ids = whole.ids();
        int[] prompt = prompt(c.prompt());
        boolean apart = prompt.length > ids.length || prompt.length > 0
                && (Arrays.mismatch(prompt, Arrays.copyOf(ids, prompt.length)) >= 0
                        || whole.crosses(c.prompt().length()));
        if (apart) {
            int[] answer = tokenizer.encodeMore(c.completion()).ids();
            ids = Arrays.copyOf(prompt, prompt.length + answer.length);
            System.arraycopy(answer, 0, ids, prompt.length, answer.length);
        }
        return ended(ids, all ? 0 : prompt.length, apart);
    }

    /// The end token belongs to the answer; some tokenizers have put it there already.
    ///
    /// @param from first token that counts
    private Masked ended(int[] ids, int from, boolean apart) {
        boolean ended = eos < 0 || endsIn(eos, ids);
        int n = ended ? ids.length : ids.length + 1;
        int[] all = Arrays.copyOf(ids, n);
        if (!ended)
            all[n - 1] = eos;
        BitSet target = new BitSet();
        target.set(Math.min(from, n), n);
        return new Masked(all, target, apart, true);
    }

    private ChatTemplate template() {
        if (template == null)
            throw new FormatException(origin, "has no chat template (chat_template.jinja, or chat_template in"
                    + " tokenizer_config.json), which examples with messages need; take a model that was made for chats"
                    + " (instruct), or write that file");
        return template;
    }

    /// Tokenizer files to write into the directory of a model that uses it; only the byte tokenizer has any.
    public Map<String, String> files() {
        return tokenizer instanceof ByteTokenizer b ? b.files() : Map.of();
    }

    /// A task as prompt and expected tokens.
    ///
    /// @param ends whether a token that stops generation belongs behind the answer
    /// @param asked the prompt, or the last message before the answer, to be shown
    /// @param expected the answer as text
    public record Task(int[] prompt, int[] answer, boolean ends, String asked, String expected) {
    }

    /// The examples that ask for an answer: a prompt with a completion, or the last answer of a conversation.
    public List<Task> tasks(List<? extends Example> examples) {
        List<Task> out = new ArrayList<>();
        for (Example e : examples)
            switch (e) {
            case Example.Completion c -> {
                int[] prompt = prompt(c.prompt());
                int[] tokens = masked(c, false).tokens();
                int last = eos >= 0 ? tokens.length - 1 : tokens.length;
                out.add(new Task(prompt, Arrays.copyOfRange(tokens, Math.min(prompt.length, last), last),
                        !stops.isEmpty(), c.prompt(), c.completion()));
            }
            case Example.Chat c when c.isTask() -> out.add(task(c, c.answer()));
            case Example.Chat _,Example.Text _ -> {
            }
            }
        return out;
    }

    private Task task(Example.Chat c, int answer) {
        List<ChatTemplate.Message> before = c.messages().subList(0, answer);
        // only what the last answer says is asked for
        List<ChatTemplate.Message> messages =
                new ArrayList<>(before.stream().map(m -> m.trained(!m.isAnswer())).toList());
        messages.add(c.messages().get(answer));
        ChatTemplate.Tokens t = template().tokens(tokenizer, messages, c.variables());
        int[] ids = known(t.encoding().ids());
        int from = Math.max(0, t.answer().nextSetBit(0));
        int to = t.answer().length();
        int end = stop(ids, from, to);
        int[] expected = Arrays.copyOfRange(ids, from, Math.max(from, end < 0 ? to : end));
        return new Task(prompt(before, c.variables()), expected, end >= 0,
                Objects.requireNonNullElse(before.getLast().content(), ""), tokenizer.decode(expected));
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
