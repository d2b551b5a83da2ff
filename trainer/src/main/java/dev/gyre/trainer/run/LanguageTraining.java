package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.transformer.Batch;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.LearningSession.Use;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.RunSettings;
import dev.gyre.trainer.data.BatchStream;
import dev.gyre.trainer.data.DataSets;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.MeanLoss;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.Validation;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.record.RunDir;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A language model, trained to predict the next token of its examples.
public final class LanguageTraining implements Training<Batch> {
    private final RunSettings config;
    private final Trained trained;
    private final RunData data;
    private @Nullable Decoder decoder;

    public LanguageTraining(RunSettings config, Trained trained, RunData data) {
        this.config = config;
        this.trained = trained;
        this.data = data;
    }

    @Override
    public RunSettings config() {
        return config;
    }

    public Transformer model() {
        return trained.model();
    }

    @Override
    public long unread() {
        return trained.model().bytesInFiles();
    }

    public RunData data() {
        return data;
    }

    @Override
    public BatchStream<Batch> batches() {
        return data.batches();
    }

    @Override
    public long steps() {
        return data.steps();
    }

    @Override
    public @Nullable Validation validation(LearningSession<Batch> session) {
        return MeanLoss.of(session, data);
    }

    /// Whether the loss on `data.valid` is measured on a part of it while training, and on how many tokens.
    public OptionalLong sampled() {
        TokenizedSet valid = data.valid();
        return valid == null || data.validated() == valid.targets() ? OptionalLong.empty()
                : OptionalLong.of(data.validated());
    }

    @Override
    public LearningSession<Batch> session(Backend backend, Set<Use> uses, int accumulate) {
        return new TrainSession(trained.model(), backend, RunData.shapes(config.train()), trained.full(), uses,
                config.seed(), accumulate);
    }

    @Override
    public Set<Use> uses() {
        return config.train().uses();
    }

    @Override
    public List<String> notes() {
        List<String> notes = new ArrayList<>();
        int context = trained.model().config().maxPositionEmbeddings();
        if (config.train().seqLen() > context)
            notes.add("train.seq_len " + config.train().seqLen() + " is longer than the model's context of " + context);
        trained.model().adapters().forEach(a -> notes.addAll(a.remarks()));
        notes.addAll(data.notes(config));
        return notes;
    }

    @Override
    public List<Path> inputs() {
        return trained.inputs();
    }

    @Override
    public List<Path> examples() {
        return DataSets.files(config.data());
    }

    @Override
    public Map<String, String> files() {
        DataSets sets = data.sets();
        String heldOut = sets == null ? null : sets.record();
        return heldOut == null ? Map.of() : Map.of(RunDir.HELD_OUT, heldOut);
    }

    @Override
    public String folder() {
        return trained.folder();
    }

    @Override
    public void write(Path to) {
        trained.write(to);
    }

    /// As [MemoryEstimate] has it.
    @Override
    public long expectedPeak(LearningSession<Batch> session) {
        long stored = trained.full() ? trained.model().weights().values().stream().mapToLong(HostData::bytes).sum() : 0;
        RunData.Load load = data.load(trained.model().config().maxPositionEmbeddings(), trained.text());
        return stored + session.plannedBytes() + (load.room() == 0 ? 0 : Decoder.bytes(trained.model(), load.room()))
                + MemoryEstimate.beside(session.trainableParameters(), load.bytes(),
                        Runtime.getRuntime().availableProcessors());
    }

    /// Lets the model answer some tasks after each evaluation, and tells `others`.
    @Override
    public List<TrainListener> listeners(LearningSession<Batch> session, Backend backend, List<TrainListener> others) {
        List<ModelText.Task> tasks = data.tasks();
        return tasks.isEmpty() ? List.of() : List.of(new TrainListener() {
            @Override
            public void onEvaluation(Evaluation e) {
                long start = System.nanoTime();
                session.pull();
                List<String> answers = answers(backend, tasks);
                List<Sample> all = new ArrayList<>();
                for (int i = 0; i < tasks.size(); i++)
                    all.add(new Sample(tasks.get(i).asked(), tasks.get(i).expected(), answers.get(i)));
                Samples s = new Samples(e.t(), all, (System.nanoTime() - start) / 1e9);
                others.forEach(l -> l.onSamples(s));
            }
        });
    }

    /// A device keeps the decoder, whose kernels it compiled. The CPU compiles nothing and has its memory back; and a decoder
    /// does not see weights that change, as in full training.
    private List<String> answers(Backend backend, List<ModelText.Task> tasks) {
        Transformer model = trained.model();
        if (backend instanceof CpuBackend || trained.full())
            return Evaluation.given(model, backend, tasks, trained.text());
        int room = trained.text().room(tasks, model.config().maxPositionEmbeddings());
        Decoder d = decoder;
        if (d == null) {
            d = new Decoder(model, backend, room);
            decoder = d;
        } else
            d.reload();
        return Evaluation.given(d, room, tasks, trained.text());
    }

    @Override
    public void close() {
        Decoder d = decoder;
        if (d != null)
            d.close();
    }
}
