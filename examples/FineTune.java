import dev.gyre.api.LanguageModel;
import dev.gyre.api.TrainOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.trainer.data.Example;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// Fine-tunes the small model of this repository from a Java program: the new skill is to write a word twice.
///
///     $JAVA_HOME/bin/java --add-modules jdk.incubator.vector -Dai.djl.offline=true -cp bench/target/gyre.jar examples/FineTune.java
///
/// with the folder of a JDK 25 as JAVA_HOME. Arguments, all optional: model directory, steps, output directory
/// for the adapter and the merged model.
void main(String[] args) {
    Path directory = Path.of(args.length > 0 ? args[0] : "examples/small-llama");
    int steps = args.length > 1 ? Integer.parseInt(args[1]) : 120;

    List<Example> train = tasks(2000, 1);
    List<Example> test = tasks(100, 2);
    try (LanguageModel model = LanguageModel.load(directory)) {
        IO.println("before: " + model.answers(test).right() + " of " + test.size() + " right");

        long parameters = model.adapt("twice", Oft.of(Targets.allLinear(), 32), 1);
        IO.println("training " + parameters + " parameters");
        TrainOptions options = TrainOptions.steps(steps).with("lr", 8e-3).with("seq_len", 48).with("micro_batch", 16)
                .with("warmup", Math.min(20, steps / 2));
        model.train(train, options, step -> {
            if (step.t() % 20 == 0)
                IO.println("step " + step.t() + "  loss " + step.loss());
        });

        IO.println("after: " + model.answers(test).right() + " of " + test.size() + " right");
        IO.println("twice gyre =" + model.generate("twice gyre =", 20));
        if (args.length > 2) {
            Path out = Path.of(args[2]);
            model.saveAdapter("twice", out.resolve("adapter"));
            model.merge(out.resolve("merged"));
            IO.println("wrote " + out);
        }
    }
}

List<Example> tasks(int n, long seed) {
    Random random = new Random(seed);
    List<Example> out = new ArrayList<>();
    for (int i = 0; i < n; i++) {
        StringBuilder word = new StringBuilder();
        for (int k = 3 + random.nextInt(3); k > 0; k--)
            word.append((char) ('a' + random.nextInt(26)));
        out.add(new Example.Completion("twice " + word + " =", " " + word + word));
    }
    return out;
}
