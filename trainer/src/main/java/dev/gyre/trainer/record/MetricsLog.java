package dev.gyre.trainer.record;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.trainer.loop.TrainListener;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// `metrics.jsonl`: one object per step (`step`, `loss`, `grad_norm`, ...) and per evaluation (`step`, `valid_loss`, ...).
/// Lines are flushed as they come, so a killed run loses none that it wrote.
public final class MetricsLog implements TrainListener, AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final BufferedWriter out;
    private final MetricsLines lines = new MetricsLines(this::write);

    /// Opens `file` to go on after step `from`: lines of later steps, written before a crash, are removed.
    public MetricsLog(Path file, long from) {
        try {
            if (Files.exists(file)) {
                List<String> keep = new ArrayList<>();
                for (String line : Files.readAllLines(file))
                    if (stepOf(line) <= from)
                        keep.add(line);
                AtomicFiles.write(file, keep.isEmpty() ? "" : String.join("\n", keep) + "\n");
            }
            out = Files.newBufferedWriter(file, StandardCharsets.UTF_8, StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(new IOException(file + ": cannot be written: " + e.getMessage(), e));
        }
    }

    /// Beyond every step for a line that a crash cut off.
    private static long stepOf(String line) {
        try {
            JsonNode step = JSON.readTree(line).get("step");
            return step == null || !step.isIntegralNumber() ? Long.MAX_VALUE : step.longValue();
        } catch (JacksonException e) {
            return Long.MAX_VALUE;
        }
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

    private void write(String line) {
        try {
            out.write(line);
            out.write('\n');
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        try {
            out.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
