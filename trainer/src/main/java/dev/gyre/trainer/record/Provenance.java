package dev.gyre.trainer.record;

import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.files.Sha256;
import dev.gyre.trainer.loop.TrainListener;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/// `provenance.json`: what a result came from. The inputs' hashes also guard resuming: a run whose data changed is not the
/// run that was stopped.
public final class Provenance {
    public static final String FILE = "provenance.json";

    private Provenance() {
    }

    /// @param inputs files and folders of the model
    /// @param data files of examples, and folders of images, in their order
    public static ObjectNode describe(String version, String device, List<Path> inputs, List<Path> data) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("gyre", version);
        o.put("started", Instant.now().toString());
        o.put("directory", Path.of("").toAbsolutePath().toString());
        o.put("jdk", Runtime.version() + " (" + System.getProperty("java.vendor") + ")");
        o.put("os", System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                + System.getProperty("os.arch"));
        o.put("processors", Runtime.getRuntime().availableProcessors());
        o.put("max_heap_bytes", Runtime.getRuntime().maxMemory());
        o.put("device", device);
        ObjectNode files = o.putObject("inputs");
        for (Path p : inputs)
            for (Path file : files(p))
                files.put(file.toString(), Sha256.of(file));
        ArrayNode names = o.putArray("data");
        for (Path file : data) {
            files.put(file.toString(), hash(file));
            names.add(file.toString());
        }
        return o;
    }

    public static void write(RunDir dir, ObjectNode provenance) {
        dir.write(FILE, Json.pretty(provenance));
    }

    /// Adds a resumption to the record after checking that the inputs are the same.
    public static void resume(RunDir dir, ObjectNode now) {
        Path file = dir.path().resolve(FILE);
        if (!Files.exists(file)) {
            write(dir, now);
            return;
        }
        ObjectNode before = Json.readObject(file);
        for (var e : now.get("inputs").properties()) {
            JsonNode was = before.path("inputs").get(e.getKey());
            if (was != null && !was.equals(e.getValue()))
                throw new FormatException(Path.of(e.getKey()), "changed since the run in " + dir.path()
                        + " was started; resuming needs the same model and data. Restore it, or start a new run");
        }
        if (before.has("resumed") && !before.path("resumed").isArray())
            throw new FormatException(file,
                    "is damaged: resumed is no list; remove the file, and the run's record starts anew");
        sameFiles(dir, before.path("data"), now.path("data"));
        ObjectNode again = before.withArray("resumed").addObject();
        for (String key : List.of("gyre", "started", "jdk", "device"))
            again.set(key, now.get(key));
        write(dir, before);
    }

    /// Adds what each worker did with its time since the run was started or resumed.
    public static void workers(RunDir dir, List<TrainListener.Work> all) {
        ObjectNode o = Json.readObject(dir.path().resolve(FILE));
        ArrayNode list = o.putArray("worker_seconds");
        for (TrainListener.Work w : all)
            list.addObject().put("computing", w.computing()).put("exchanging", w.exchanging()).put("waiting",
                    w.waiting());
        write(dir, o);
    }

    /// A folder or a pattern may mean other files than it did.
    private static void sameFiles(RunDir dir, JsonNode before, JsonNode now) {
        if (before.isMissingNode() || before.equals(now))
            return; // runs of versions without folders have none
        List<String> was = before.valueStream().map(JsonNode::asString).toList();
        List<String> is = now.valueStream().map(JsonNode::asString).toList();
        for (String f : is)
            if (!was.contains(f))
                throw new FormatException(Path.of(f), "was not among the data when the run in " + dir.path()
                        + " was started; resuming needs the same data. Take it away, or start a new run");
        for (String f : was)
            if (!is.contains(f))
                throw new FormatException(Path.of(f), "was among the data when the run in " + dir.path()
                        + " was started and is not any more; resuming needs the same data. Restore it, or start a new"
                        + " run");
        throw new FormatException(dir.path(), "was started on the same data in another order; restore it, or start a"
                + " new run");
    }

    /// Adds what turned out during the run.
    public static void add(RunDir dir, String key, String text) {
        ObjectNode o = Json.readObject(dir.path().resolve(FILE));
        o.put(key, text);
        write(dir, o);
    }

    /// Of a file, or of the names and contents of all files in a folder.
    private static String hash(Path p) {
        if (!Files.isDirectory(p))
            return Sha256.of(p);
        StringBuilder all = new StringBuilder();
        try (Stream<Path> s = Files.walk(p)) {
            for (Path f : s.filter(Files::isRegularFile).sorted().toList())
                all.append(p.relativize(f)).append(' ').append(Sha256.of(f)).append('\n');
        } catch (IOException e) {
            throw FormatException.unreadable(p, e);
        }
        return Sha256.of(all.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static List<Path> files(Path p) {
        if (!Files.isDirectory(p))
            return List.of(p);
        try (Stream<Path> s = Files.list(p)) {
            return s.filter(Files::isRegularFile).sorted().toList();
        } catch (IOException e) {
            throw FormatException.unreadable(p, e);
        }
    }
}
