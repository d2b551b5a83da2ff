package dev.gyre.trainer.run;

import dev.gyre.dist.Alone;
import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.config.RunSettings;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.DataSets;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.measure.Evaluation;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ProcessMemory;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.record.MetricsLog;
import dev.gyre.trainer.record.Provenance;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.record.TfEvents;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A run from its first step to its result: programs, loop, checkpoints, the final files. It prints nothing; its
/// callers ask for what to show and add listeners.
public final class TrainingRun implements AutoCloseable {
    private final RunSettings config;
    private final Trained trained;
    private final RunData data;
    private final Backend backend;
    private final List<String> notes;
    private final RunDir dir;
    private final FolderLock lock;
    private final TrainSession session;
    private final @Nullable Checkpoint from;
    private final Collective workers;
    private long done;
    private @Nullable Decoder decoder;

    private TrainingRun(RunSettings config, Trained trained, RunData data, Backend backend, List<String> notes,
            RunDir dir, FolderLock lock, TrainSession session, @Nullable Checkpoint from, Collective workers) {
        this.config = config;
        this.trained = trained;
        this.data = data;
        this.backend = backend;
        this.notes = notes;
        this.dir = dir;
        this.lock = lock;
        this.session = session;
        this.from = from;
        this.workers = workers;
    }

    /// Checks, prepares the programs and makes the run directory, in this order: a run that cannot be leaves no folder
    /// that would be in the way of one that can.
    ///
    /// @param resume go on with the run in the output directory
    public static TrainingRun open(RunSettings config, Trained trained, RunData data, boolean resume, Backend backend,
            String version) {
        return open(config, trained, data, resume, backend, version, Alone.INSTANCE);
    }

    /// @param workers of the run; this is the first of them, and all others call [Follower#run]
    public static TrainingRun open(RunSettings config, Trained trained, RunData data, boolean resume, Backend backend,
            String version, Collective workers) {
        Workers.requireEnough(config.train(), workers);
        List<String> notes = new ArrayList<>();
        int context = trained.model().config().maxPositionEmbeddings();
        if (config.train().seqLen() > context)
            notes.add("train.seq_len " + config.train().seqLen() + " is longer than the model's context of " + context);
        trained.model().adapters().forEach(a -> notes.addAll(a.remarks()));
        notes.addAll(data.notes(config));
        Path path = Path.of(config.output().dir());
        if (resume)
            checkUnchanged(config, path, notes);
        RunDir dir = resume ? RunDir.open(path) : null;
        FolderLock lock = dir == null ? null : dir.lock();
        TrainSession session = null;
        try {
            Checkpoint from = dir == null ? null : latest(dir, data.steps(), notes);
            ObjectNode provenance = provenance(config, trained, backend, version);
            Workers.requireSame(config, provenance, workers);
            if (workers.size() > 1)
                provenance.put("workers", Workers.describe(config.train(), workers));
            session = session(config, trained, backend, workers);
            if (dir == null) {
                dir = RunDir.create(path);
                lock = dir.lock();
            }
            if (resume)
                Provenance.resume(dir, provenance); // may refuse, and then nothing has changed
            // of a new run the first of all files: what is killed from here on can be resumed
            dir.write("run.yaml", ConfigWriter.resolved(config.record()));
            if (!resume)
                Provenance.write(dir, provenance);
            dir.write("program.txt", session.programs());
            DataSets sets = data.sets();
            String heldOut = sets == null ? null : sets.record();
            if (heldOut != null)
                dir.write(RunDir.HELD_OUT, heldOut);
            if (from != null)
                dir.prune(config.output().keep(), from.bestStep()); // as after its save, which may have been its last
            Workers.checkpoint(from, workers);
            return new TrainingRun(config, trained, data, backend, notes, dir, Objects.requireNonNull(lock), session,
                    from, workers);
        } catch (RuntimeException | Error e) {
            if (session != null)
                session.close();
            if (lock != null)
                lock.close();
            throw e;
        }
    }

    private static @Nullable Checkpoint latest(RunDir dir, long steps, List<String> notes) {
        Checkpoint c = dir.latest();
        if (c == null)
            notes.add("no checkpoint yet in " + dir.path() + ": starting from step 0");
        else
            if (c.step() >= steps)
                notes.add("the run is complete at step " + c.step() + "; raise train.steps to train on");
        return c;
    }

    /// Of this worker, with the hashes of what the run reads.
    static ObjectNode provenance(RunSettings config, Trained trained, Backend backend, String version) {
        return Provenance.describe(version, backend.describe(), trained.inputs(), DataSets.files(config.data()));
    }

    static TrainSession session(RunSettings config, Trained trained, Backend backend, Collective workers) {
        HeapTrim.collect(); // what reading, rounding and decomposing the weights left behind
        TrainSession s = new TrainSession(trained.model(), backend, RunData.shapes(config.train()), trained.full(),
                config.train().uses(), config.seed(), Workers.share(config.train(), workers));
        HeapTrim.collect(); // the array that the trained parameters came in
        return s;
    }

    /// What may differ from the configuration that the run was started with: where to compute, where and how often to look
    /// and save, and how long to go on.
    private static boolean free(String key) {
        return key.startsWith("eval.") || key.startsWith("results.") || key.startsWith("output.")
                || key.equals("train.steps")
                || key.equals("train.epochs")
                || key.equals("train.gradient_checkpointing") || key.equals("data.memory") || key.equals("data.cache")
                || key.equals("device") || key.equals("precision") || key.equals("check_device");
    }

    private static final String METHOD = "adapter.method";

    private static void checkUnchanged(RunSettings config, Path path, List<String> notes) {
        Path file = path.resolve("run.yaml");
        if (!Files.exists(file))
            return; // RunDir.open has the better message
        Map<String, String> before = ConfigWriter.flat(ConfigReader.read(file, config.record().getClass(), List.of()));
        Map<String, String> now = ConfigWriter.flat(config.record());
        TreeSet<String> keys = new TreeSet<>(before.keySet());
        keys.addAll(now.keySet());
        for (String key : keys) {
            String a = before.getOrDefault(key, "absent");
            String b = now.getOrDefault(key, "absent");
            if (a.equals(b))
                continue;
            // another method comes with other keys: it is what was changed
            if (!free(key) && !(key.startsWith("adapter.") && !key.equals(METHOD)
                    && !Objects.equals(before.get(METHOD), now.get(METHOD))))
                throw new ConfigException(file + ": the run was started with " + key + ": " + a + ", now it is " + b
                        + "; resuming needs the same value, or start a new run in another output.dir");
            if (key.startsWith("train."))
                notes.add(key + " was " + a + ", now " + b + ": the learning rate follows the new length");
        }
    }

    /// Trains to the end, or until `stop`; writes the result when the last step is done.
    public TrainLoop.Result run(List<TrainListener> listeners, BooleanSupplier stop) {
        List<TrainListener> all = new ArrayList<>(listeners);
        try (MetricsLog metrics = new MetricsLog(dir.metrics(), from(), ProcessMemory::resident)) {
            all.add(metrics);
            if (config.output().tensorboard())
                all.add(new TfEvents(dir.path().resolve("tb"), from()));
            if (!data.tasks().isEmpty())
                all.add(sampling(List.copyOf(all)));
            List<TrainListener> told = List.copyOf(all);
            all.addFirst(housekeeping(told));
            TrainLoop loop = new TrainLoop(checked(told), data, config.train())
                    .evaluating(config.eval().every(), config.eval().patience()).saving(checkpoints(metrics))
                    .listening(all)
                    .stopping(() -> stop.getAsBoolean() || dir.isToStop()).with(workers);
            if (from != null)
                loop.resume(from);
            TrainLoop.Result r = loop.run();
            dir.stopped();
            done = r.step();
            if (r.finished()) {
                workers.close();
                if (config.eval().result() == RunConfig.Result.BEST && r.bestStep() > 0)
                    session.restore(dir.read(r.bestStep()).state());
                session.pull();
                dir.replace(trained.folder(), trained::write);
            }
            return r;
        }
    }

    /// The session; on a device with its first step checked against the CPU.
    private Trainable checked(List<TrainListener> told) {
        return FirstStepCheck.over(session, config, trained, backend, workers, from() + 1, why -> {
            Provenance.add(dir, "first_step_check", why);
            told.forEach(l -> l.onNoDeviceCheck(why));
        }, r -> {
            Provenance.add(dir, "first_step_check", r.toString());
            String text = "step " + (from() + 1) + " is the CPU's: " + r;
            told.forEach(l -> l.onDeviceCheck(text, r.seconds(), r.cpuSeconds()));
        });
    }

    private TrainLoop.Saver checkpoints(MetricsLog metrics) {
        return new TrainLoop.Saver() {
            @Override
            public int every() {
                return config.output().checkpointEvery();
            }

            @Override
            public Path save(Checkpoint c) {
                session.pull();
                metrics.force();
                return dir.save(c, config.output().keep(), d -> trained.write(d.resolve(trained.folder())));
            }
        };
    }

    /// Frees what a checkpoint left on the heap, and reports the kernels that the first step compiled.
    private TrainListener housekeeping(List<TrainListener> told) {
        return new TrainListener() {
            private boolean first = true;

            @Override
            public void onCheckpoint(long t, Path where, boolean best) {
                HeapTrim.collect();
            }

            @Override
            public void onWorkers(List<Work> all) {
                Provenance.workers(dir, all);
            }

            @Override
            public void onStep(Step step) {
                Session.Compiled c = first ? session.compiled() : null;
                first = false;
                if (c != null)
                    told.forEach(l -> l.onCompiled(c));
            }
        };
    }

    /// Lets the model answer some tasks after each evaluation, and tells `others`.
    private TrainListener sampling(List<TrainListener> others) {
        List<ModelText.Task> tasks = data.tasks();
        return new TrainListener() {
            @Override
            public void onEvaluation(Evaluation e) {
                long start = System.nanoTime();
                session.pull();
                List<String> answers = answers(tasks);
                List<Sample> all = new ArrayList<>();
                for (int i = 0; i < tasks.size(); i++)
                    all.add(new Sample(tasks.get(i).asked(), tasks.get(i).expected(), answers.get(i)));
                Samples s = new Samples(e.t(), all, (System.nanoTime() - start) / 1e9);
                others.forEach(l -> l.onSamples(s));
            }
        };
    }

    /// A device keeps the decoder, whose kernels it compiled. The CPU compiles nothing and has its memory back; and a decoder
    /// does not see weights that change, as in full training.
    private List<String> answers(List<ModelText.Task> tasks) {
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

    public RunSettings config() {
        return config;
    }

    public RunDir dir() {
        return dir;
    }

    /// Peak of the process as [MemoryEstimate] has it, on the CPU.
    public long expectedPeak() {
        long stored = trained.full() ? trained.model().weights().values().stream().mapToLong(HostData::bytes).sum() : 0;
        RunData.Load load = data.load(trained.model().config().maxPositionEmbeddings(), trained.text());
        return stored + session.plannedBytes() + (load.room() == 0 ? 0 : Decoder.bytes(trained.model(), load.room()))
                + MemoryEstimate.beside(session.trainableParameters(), load.bytes(),
                        Runtime.getRuntime().availableProcessors());
    }

    /// Where the result will be.
    public Path result() {
        return dir.path().resolve(trained.folder());
    }

    public TrainSession session() {
        return session;
    }

    public TokenizedSet train() {
        return data.train();
    }

    public @Nullable TokenizedSet valid() {
        return data.valid();
    }

    /// Whether the loss on `data.valid` is measured on a part of it while training, and on how many tokens.
    public OptionalLong sampled() {
        TokenizedSet valid = data.valid();
        return valid == null || data.validated() == valid.targets() ? OptionalLong.empty()
                : OptionalLong.of(data.validated());
    }

    public Batches batches() {
        return data.batches();
    }

    public long steps() {
        return data.steps();
    }

    /// Steps done when [#run] ended: fewer than [#steps] where it stopped early.
    public long done() {
        return done;
    }

    public Collective workers() {
        return workers;
    }

    /// Who trains, and whether that shows in the result.
    public String workersText() {
        return Workers.describe(config.train(), workers);
    }

    /// Step to go on from, 0 for a new run.
    public long from() {
        return from == null ? 0 : from.step();
    }

    /// Remarks that a user should see before the run starts.
    public List<String> notes() {
        return List.copyOf(notes);
    }

    public Transformer model() {
        return trained.model();
    }

    @Override
    public void close() {
        Decoder d = decoder;
        try (lock) {
            if (d != null)
                d.close();
            session.close();
        }
    }
}
