package dev.gyre.model.format;

import dev.gyre.model.family.HfConfig;
import dev.gyre.model.family.ModelConfig;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.gguf.GgufFile;
import dev.gyre.model.gguf.GgufModel;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.databind.node.ObjectNode;

/// A model directory that stands for a GGUF file: configuration and tokenizer as its metadata have them, and where the file
/// is, which is read in its place.
public final class GgufDir {
    static final String POINTER = "gyre_gguf.json";
    /// Of the files that are made; of another version they are made anew.
    private static final int VERSION = 1;

    private GgufDir() {
    }

    /// The directory of a file, made where it is not there yet.
    ///
    /// @param cache folder for such directories
    public static Path of(Path gguf, Path cache) {
        Path file;
        ObjectNode pointer;
        try {
            file = gguf.toRealPath();
            pointer = Json.MAPPER.createObjectNode().put("version", VERSION).put("file", file.toString())
                    .put("bytes", Files.size(file)).put("modified", Files.getLastModifiedTime(file).toMillis());
        } catch (IOException e) {
            throw FormatException.unreadable(gguf, e);
        }
        String text = Json.pretty(pointer);
        String name = String.valueOf(gguf.getFileName()).replaceAll("[^A-Za-z0-9._-]", "_");
        Path directory = cache.resolve(name.substring(0, Math.min(name.length(), 80)) + "-" + hash(file.toString()));
        try {
            if (Files.isRegularFile(directory.resolve(POINTER))
                    && Files.readString(directory.resolve(POINTER)).equals(text))
                return directory;
        } catch (IOException e) {
            throw FormatException.unreadable(directory.resolve(POINTER), e);
        }
        Map<String, String> files = new LinkedHashMap<>();
        try (GgufFile f = GgufFile.open(file)) {
            GgufModel.files(f).forEach((n, json) -> files.put(n, n.equals("tokenizer.json") ? json.toString()
                    : Json.pretty(json)));
            HfConfig.parse(file, GgufModel.config(f));
        }
        files.put(POINTER, text);
        AtomicFiles.createFolder(cache);
        try (var _ = AtomicFiles.own(directory)) {
            AtomicFiles.replaceDirectory(directory, aside -> {
                for (Map.Entry<String, String> e : files.entrySet())
                    Files.writeString(aside.resolve(e.getKey()), e.getValue());
            });
        }
        return directory;
    }

    private static String hash(String text) {
        try {
            byte[] all = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(all).substring(0, 12);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /// The weights of the file that a directory stands for.
    static GgufWeights weights(Path directory, ModelConfig config) {
        Path pointer = directory.resolve(POINTER);
        ObjectNode o = Json.readObject(pointer);
        Path file;
        try {
            file = Path.of(o.path("file").asString(""));
        } catch (InvalidPathException e) {
            throw new FormatException(pointer, "names no file; name the .gguf file as the model", e);
        }
        if (!file.isAbsolute() || !Files.exists(file))
            throw new FormatException(pointer,
                    "names " + file + ", which is not there; name the .gguf file as the model");
        GgufFile f = GgufFile.open(file);
        try {
            if (Files.size(file) != o.path("bytes").asLong(-1)
                    || Files.getLastModifiedTime(file).toMillis() != o.path("modified").asLong(-1))
                throw new FormatException(file, "changed since " + directory + " was made; name the .gguf file as the"
                        + " model");
            GgufWeights all = new GgufWeights(f, config);
            f = null;
            return all;
        } catch (IOException e) {
            throw FormatException.unreadable(file, e);
        } finally {
            if (f != null)
                f.close();
        }
    }
}
