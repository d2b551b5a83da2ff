package dev.gyre.trainer.task;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One example as its file has it.
///
/// @param texts the text and, where there is one, its pair; the words of a row to label; none for images
/// @param labels names of classes or labels; of words one each; empty where there are none
/// @param number a number or similarity, NaN where there is none
/// @param image a file, or null
/// @param pixels an image of one channel and its sides, or null
record TaskExample(List<String> texts, List<String> labels, float number, @Nullable Path image,
        @Nullable Grey pixels) {
    /// @param values row by row, 0 to 255
    record Grey(int height, int width, byte[] values) {
    }

    static TaskExample text(List<String> texts, List<String> labels, float number) {
        return new TaskExample(List.copyOf(texts), List.copyOf(labels), number, null, null);
    }
}
