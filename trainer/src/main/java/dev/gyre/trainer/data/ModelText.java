package dev.gyre.trainer.data;

import dev.gyre.kernels.InputException;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.ModelDir;
import dev.gyre.model.token.ByteTokenizer;
import dev.gyre.model.token.ChatTemplate;
import dev.gyre.model.token.Encoding;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.token.Tokenizer;
import dev.gyre.model.token.Tokenizers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// Text as one model reads and writes it: its tokenizer, its chat template, the tokens that end an answer.
///
/// A task and its answer are tokenised as one text, as running text; a token that joins both sides belongs to
/// the answer.
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

    private ModelText(Tokenizer tokenizer, @Nullable ChatTemplate template, Path origin, Set<Integer> stops,
            int vocabulary) {
        this.vocabulary = vocabulary;
        this.tokenizer = tokenizer;
        this.template = template;
        this.origin = origin;
        this.stops = stops;
        this.eos = tokenizer.eosId() >= 0 ? tokenizer.eosId() : stops.stream().findFirst().orElse(-1);
        if (eos >= 0)
            stops.add(eos);
    }

    /// The text side of a model directory.
    public static ModelText load(Path directory) {
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
        return new ModelText(Tokenizers.load(directory), ChatTemplate.load(directory, date()), directory, stops,
                vocabulary);
    }

    /// The date that chat templates show which ask for today's, from the environment, so that a run can be repeated.
    private static @Nullable LocalDateTime date() {
        String date = System.getenv("GYRE_CHAT_DATE");
        if (date == null || date.isBlank())
            return null;
        try {
            return date.contains("T") ? LocalDateTime.parse(date) : LocalDate.parse(date).atStartOfDay();
        } catch (DateTimeParseException e) {
            throw new InputException("GYRE_CHAT_DATE=" + date
                    + " is not a date; write 2025-07-26 or 2025-07-26T14:30:00", e);
        }
    }

    /// Bytes as tokens, without a chat template.
    public static ModelText bytes() {
        return of(new ByteTokenizer(), null);
    }

    static ModelText of(Tokenizer tokenizer, @Nullable ChatTemplate template) {
        return new ModelText(tokenizer, template, Path.of("tokenizer"), new LinkedHashSet<>(),
                Integer.MAX_VALUE);
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

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
        return known(tokenizer.encode(template().render(messages, true), false));
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
    public int room(List<Example.Completion> tasks, int context) {
        int longest = tasks.stream().mapToInt(t -> prompt(t.prompt()).length).max().orElse(1);
        return Math.min(longest + ANSWER_TOKENS, context);
    }

    public StreamDecoder stream() {
        return tokenizer.stream();
    }

    /// Tokens and which of them the loss counts.
    record Masked(int[] tokens, BitSet target) {
    }

    /// @param all whether everything counts, not only answers
    Masked masked(Example example, boolean all) {
        Masked m = marked(example, all);
        known(m.tokens);
        return m;
    }

    private Masked marked(Example example, boolean all) {
        return switch (example) {
            case Example.Text t -> ended(tokenizer.encodeWithOffsets(t.text(), true), 0);
            case Example.Completion c -> ended(tokenizer.encodeWithOffsets(c.prompt() + c.completion(), true),
                    all ? 0 : c.prompt().length());
            case Example.Chat c -> {
                ChatTemplate.Tokens t = template().tokens(tokenizer, c.messages());
                BitSet target = t.answer();
                if (all)
                    target.set(0, t.encoding().size());
                yield new Masked(t.encoding().ids(), target);
            }
        };
    }

    /// The answer starts at the first token that extends past character `from`; the end token belongs to it, which some
    /// tokenizers have put there already.
    private Masked ended(Encoding e, int from) {
        boolean ended = eos < 0 || endsIn(eos, e.ids());
        int n = eos >= 0 && ended ? e.size() - 1 : e.size();
        int[] ids = ended ? e.ids() : Arrays.copyOf(e.ids(), n + 1);
        if (!ended)
            ids[n] = eos;
        int first = 0;
        while (from > 0 && first < n && e.to(first) <= from)
            first++;
        BitSet target = new BitSet();
        target.set(first, ids.length);
        return new Masked(ids, target);
    }

    private ChatTemplate template() {
        if (template == null)
            throw new FormatException(origin, "has no chat template (chat_template.jinja, or chat_template in"
                    + " tokenizer_config.json), which examples with messages need");
        return template;
    }

    /// Tokenizer files to write into the directory of a model that uses it; only the byte tokenizer has any.
    public Map<String, String> files() {
        return tokenizer instanceof ByteTokenizer b ? b.files() : Map.of();
    }

    /// Tasks with an answer, as prompt and expected tokens.
    public record Task(int[] prompt, int[] answer) {
    }

    /// The examples that have a prompt and a completion.
    public List<Task> tasks(List<? extends Example> examples) {
        List<Task> out = new ArrayList<>();
        for (Example e : examples)
            if (e instanceof Example.Completion c) {
                int[] prompt = prompt(c.prompt());
                Masked m = masked(c, false);
                int first = m.target().nextSetBit(0);
                int last = eos >= 0 ? m.tokens().length - 1 : m.tokens().length;
                // where prompt and answer share a token, the answer is what follows the prompt alone
                int[] answer =
                        first == prompt.length ? Arrays.copyOfRange(m.tokens(), first, last) : more(c.completion());
                out.add(new Task(prompt, answer));
            }
        return out;
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
