package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.loop.TrainListener;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import tools.jackson.databind.node.ObjectNode;

/// `metrics.jsonl`: one object per step (`step`, `loss`, `grad_norm`, ...) and per evaluation (`step`, `valid_loss`, ...).
/// Each line is one write, so a killed run loses none that it wrote.
public final class MetricsLog implements TrainListener, AutoCloseable {
    private final Path file;
    private final FileChannel out;
    private final MetricsLines lines;

    /// Opens `file` to go on after step `from`: lines of later steps, written before a crash, are removed.
    ///
    /// @param memory resident bytes of this process; 0 where they are not known
    public MetricsLog(Path file, long from, LongSupplier memory) {
        this(upTo(file, from), memory);
    }

    MetricsLog(Path file, LongSupplier memory) {
        this.file = file;
        this.lines = new MetricsLines(this::write, memory);
        try {
            out = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private static Path upTo(Path file, long from) {
        if (Files.exists(file)) {
            List<String> keep = new ArrayList<>();
            for (String line : Metrics.lines(file)) {
                ObjectNode o = Metrics.parse(line);
                if (o != null && o.path("step").longValue() <= from)
                    keep.add(line);
            }
            AtomicFiles.write(file, keep.isEmpty() ? "" : String.join("\n", keep) + "\n");
        }
        return file;
    }

    @Override
    public void onStep(Step s) {
        lines.onStep(s);
    }

    @Override
    public void onEvaluation(Evaluation e) {
        lines.onEvaluation(e);
    }

    @Override
    public void onSamples(Samples s) {
        lines.onSamples(s);
    }

    @Override
    public void onRotations(Rotations r) {
        lines.onRotations(r);
    }

    /// All lines so far are on the disk before a checkpoint says that their steps are done.
    public void force() {
        try {
            out.force(false);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private void write(String line) {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        try {
            while (bytes.hasRemaining())
                out.write(bytes);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private UncheckedIOException failed(IOException e) {
        return new UncheckedIOException(
                new IOException(file + ": cannot be written: " + e.getMessage() + "; the run can be resumed", e));
    }

    @Override
    public void close() {
        try {
            out.close();
        } catch (IOException e) {
            throw failed(e);
        }
    }
}
