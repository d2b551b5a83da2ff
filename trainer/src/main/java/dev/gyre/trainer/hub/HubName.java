package dev.gyre.trainer.hub;

import java.io.File;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// A model of the hub as people write it: `Qwen/Qwen3-0.6B`, or `Qwen/Qwen3-0.6B@REVISION`.
///
/// @param id organisation and model
/// @param revision a branch, a tag or a commit; null: the hub's `main`
public record HubName(String id, @Nullable String revision) {
    static final String MAIN = "main";

    /// The hub's own rule: letters, digits, `-`, `_` and `.`, neither `--` nor `..`.
    private static final Pattern ID =
            Pattern.compile("(?!.*(?:--|\\.\\.))[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}");
    private static final Pattern REVISION = Pattern.compile("(?!.*(?:\\.\\.|//))[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}");
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern GGUF =
            Pattern.compile("([^/]+/[^/]+?)(?:@([^/]+))?(?:/(?:blob|resolve)/([^/]+))?/([\\w][\\w.+-]*\\.gguf)");
    private static final Pattern PAGE = Pattern.compile("https?://(?:www\\.)?(?:huggingface\\.co|hf\\.co)/");

    /// The name in `text`; null if it is none.
    public static @Nullable HubName of(String text) {
        int at = text.indexOf('@');
        String id = at < 0 ? text : text.substring(0, at);
        String revision = at < 0 ? null : text.substring(at + 1);
        return ID.matcher(id).matches() && !id.endsWith(".git") && (revision == null || isRevision(revision))
                ? new HubName(id, revision) : null;
    }

    /// The name that was given where a path may stand as well; null if it is none.
    public static @Nullable HubName of(Path given) {
        return given.isAbsolute() ? null : of(given.toString().replace(File.separatorChar, '/'));
    }

    /// One GGUF file of a model: `Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf`.
    public record GgufName(HubName model, String file) {
        /// The name in `text`, which may be a copied address of the file's page; null if it is none.
        public static @Nullable GgufName of(String text) {
            Matcher m = GGUF.matcher(PAGE.matcher(text.strip()).replaceFirst(""));
            HubName model = m.matches() ? HubName.of(m.group(1)) : null;
            String revision = model == null ? null : m.group(2) == null ? m.group(3) : m.group(2);
            if (model == null || revision != null && !isRevision(revision))
                return null;
            return new GgufName(revision == null ? model : new HubName(model.id, revision), m.group(4));
        }

        /// `org/name/file`, or `org/name@revision/file`.
        @Override
        public String toString() {
            return model + "/" + file;
        }
    }

    /// As [#of], of what can be nothing else; a copied address of a model's page will do.
    ///
    /// @throws HubException if it is none
    public static HubName require(String text) {
        HubName name = of(PAGE.matcher(text.strip()).replaceFirst("").replaceFirst("/+$", ""));
        if (name == null)
            throw new HubException("'" + text + "' is no name of a Hugging Face model; write it as organisation/model,"
                    + " such as Qwen/Qwen3-0.6B");
        return name;
    }

    /// @throws HubException if `revision` is no name of a branch, tag or commit
    public HubName at(String revision) {
        if (!isRevision(revision))
            throw new HubException("revision '" + revision + "' is no name of a branch, a tag or a commit");
        return new HubName(id, revision);
    }

    private static boolean isRevision(String text) {
        return REVISION.matcher(text).matches() && !text.endsWith("/") && !text.endsWith(".");
    }

    /// Whether `text` is a commit written in full, which always means the same files.
    static boolean isCommit(String text) {
        return COMMIT.matcher(text).matches();
    }

    /// The branch, tag or commit to look for.
    String wanted() {
        return revision == null ? MAIN : revision;
    }

    /// `org/name`, or `org/name@revision`.
    @Override
    public String toString() {
        return revision == null ? id : id + "@" + revision;
    }
}
