package dev.gyre.trainer.measure;

import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.family.EncoderConfig.Problem;
import dev.gyre.model.task.TaskDir;
import dev.gyre.model.task.TaskModel;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Loads a model with a head and its adapters, as a user names them.
public final class TaskRef {
    private TaskRef() {
    }

    /// @param otherwise what is predicted where the model's files do not say; null for classes
    /// @param warnings gets each warning about the files
    public static TaskModel load(ModelRef ref, @Nullable Problem otherwise, Consumer<String> warnings) {
        TaskModel model;
        try (TaskDir dir = otherwise == null ? TaskDir.open(ref.model()) : TaskDir.open(ref.model(), otherwise)) {
            dir.warnings().forEach(warnings);
            model = TaskModel.load(dir, ref.base(), 0);
        }
        for (Path a : ref.adapters()) {
            String name = ModelRef.name(a);
            Adapter adapter = Adapter.read(a, model);
            adapter.warnings().forEach(warnings);
            // two folders may be called the same
            model.attach(model.named().containsKey(name) ? name + " (" + a + ")" : name, adapter);
        }
        return model;
    }
}
