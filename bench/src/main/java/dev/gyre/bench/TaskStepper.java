package dev.gyre.bench;

import dev.gyre.kernels.Backend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.BaseWeights;
import dev.gyre.model.family.EncoderFamilies;
import dev.gyre.model.files.Json;
import dev.gyre.model.task.TaskBatch;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskModel;
import dev.gyre.model.task.TaskSession;
import dev.gyre.model.task.TaskShape;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import tools.jackson.databind.node.ObjectNode;

/// A classifier with random weights on one batch, its head trained whole beside the adapter, as PEFT does.
final class TaskStepper {
    private TaskStepper() {
    }

    /// Models by the names that `--size` takes.
    enum Kind {
        /// BERT-base, two classes.
        BERT(8, 128, "Bert", "bert"),
        /// ViT-B/16 for images of 224 x 224, ten classes; a row has 197 tokens.
        VIT(8, 197, "ViT", "vit");

        final int batch;
        final int seq;
        private final String architecture;
        private final String type;

        Kind(int batch, int seq, String architecture, String type) {
            this.batch = batch;
            this.seq = seq;
            this.architecture = architecture;
            this.type = type;
        }

        static Optional<Kind> of(String name) {
            return Arrays.stream(values()).filter(k -> k.name().equals(name.toUpperCase(Locale.ROOT))).findFirst();
        }

        /// The configuration of the published models, whose values are transformers' defaults.
        private TaskConfig config() {
            ObjectNode o = Json.MAPPER.createObjectNode();
            o.putArray("architectures")
                    .add(architecture + (this == VIT ? "ForImageClassification" : "ForSequenceClassification"));
            o.put("model_type", type).put("num_labels", this == VIT ? 10 : 2);
            return new TaskConfig.OfEncoder(EncoderFamilies.parse(Path.of("config.json"), o));
        }
    }

    static StepBench.Stepper<TaskBatch> open(Kind kind, StepBench.Settings s, Backend backend) {
        TaskConfig config = kind.config();
        TaskModel model = TaskModel.random(config, 1);
        if (!s.method().full()) {
            AdapterOptions options = s.method().options();
            AdapterOptions own = options.with(options.targets().saving("classifier"));
            model.attach("adapter", Adapter.create(own, model, 1, new BaseWeights(model, backend, (_, _, _, _) -> {
            })));
        }
        Random random = new Random(7);
        int B = s.batch();
        TaskShape shape;
        TaskBatch bare;
        if (config.images()) {
            shape = new TaskShape(B, s.seq(), 224, 224);
            float[] pixels = new float[B * 3 * 224 * 224];
            for (int i = 0; i < pixels.length; i++)
                pixels[i] = random.nextFloat() * 2 - 1;
            bare = TaskBatch.images(B, s.seq(), pixels);
        } else {
            shape = TaskShape.text(B, s.seq());
            int n = B * s.seq();
            int[] to = new int[B];
            Arrays.fill(to, s.seq());
            bare = TaskBatch.text(B, s.seq(), random.ints(n, 0, config.vocabSize()).toArray(), new int[n], new int[B],
                    to);
        }
        TaskBatch batch = bare.labelled(random.ints(B, 0, config.head().outputs()).toArray());
        return new StepBench.Stepper<>(new TaskSession(model, backend, List.of(shape), s.method().full(),
                Set.of(TaskSession.Use.TRAIN), 1), batch, 1f / B);
    }
}
