package dev.gyre.trainer.run;

import dev.gyre.dist.Alone;
import dev.gyre.dist.Collective;
import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Session;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.transformer.LearningSession;
import dev.gyre.model.transformer.Trainable;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.LoopSettings;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.measure.HeapTrim;
import dev.gyre.trainer.measure.ProcessMemory;
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
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.node.ObjectNode;

/// A run from its first step to its result: programs, loop, checkpoints, the final files. It prints nothing; its
/// callers ask for what to show and add listeners.
///
/// @param <B> a micro-batch
public final class TrainingRun<B> implements AutoCloseable {
    private final Training<B> training;
    private final Backend backend;
    private final List<String> notes;
    private final RunDir dir;
    private final FolderLock lock;
    private final LearningSession<B> session;
    private final @Nullable Checkpoint from;
    private final Collective workers;
    private long done;

    private TrainingRun(Training<B> training, Backend backend, List<String> notes, RunDir dir, FolderLock lock,
            LearningSession<B> session, @Nullable Checkpoint from, Collective workers) {
        this.training = training;
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
    /// @param training closed with the run
    /// @param resume go on with the run in the output directory
    public static <B> TrainingRun<B> open(Training<B> training, boolean resume, Backend backend, String version) {
        return open(training, resume, backend, version, Alone.INSTANCE);
    }

    /// @param workers of the run; this is the first of them, and all others call [Follower#run]
    public static <B> TrainingRun<B> open(Training<B> training, boolean resume, Backend backend, String version,
            Collective workers) {
        LoopSettings config = training.config();
        Workers.requireEnough(config.train(), workers);
        List<String> notes = new ArrayList<>(training.notes());
        Path path = Path.of(config.output().dir());
        if (resume)
            checkUnchanged(config, path, notes);
        RunDir dir = resume ? RunDir.open(path) : null;
        FolderLock lock = dir == null ? null : dir.lock();
        LearningSession<B> session = null;
        try {
            Checkpoint from = dir == null ? null : latest(dir, training.steps(), notes);
            ObjectNode provenance = provenance(training, backend, version);
            Workers.requireSame(config, provenance, workers);
            if (workers.size() > 1)
                provenance.put("workers", Workers.describe(config.train(), workers));
            session = session(training, backend, workers);
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
            training.files().forEach(dir::write);
            if (from != null)
                dir.prune(config.output().keep(), from.bestStep()); // as after its save, which may have been its last
            Workers.checkpoint(from, workers);
            return new TrainingRun<>(training, backend, notes, dir, Objects.requireNonNull(lock), session, from,
                    workers);
        } catch (RuntimeException | Error e) {
            training.close();
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
    static ObjectNode provenance(Training<?> training, Backend backend, String version) {
        return Provenance.describe(version, backend.describe(), training.inputs(), training.examples());
    }

    static <B> LearningSession<B> session(Training<B> training, Backend backend, Collective workers) {
        HeapTrim.collect(); // what reading, rounding and decomposing the weights left behind
        LearningSession<B> s = training.session(backend, training.uses(),
                Workers.share(training.config().train(), workers));
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

    private static void checkUnchanged(LoopSettings config, Path path, List<String> notes) {
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
        LoopSettings config = training.config();
        List<TrainListener> all = new ArrayList<>(listeners);
        try (MetricsLog metrics = new MetricsLog(dir.metrics(), from(), ProcessMemory::resident)) {
            all.add(metrics);
            if (config.output().tensorboard())
                all.add(new TfEvents(dir.path().resolve("tb"), from()));
            all.addAll(training.listeners(session, backend, List.copyOf(all)));
            List<TrainListener> told = List.copyOf(all);
            all.addFirst(housekeeping(told));
            TrainLoop<B> loop = loop(training, session, checked(told)).saving(checkpoints(metrics)).listening(all)
                    .stopping(() -> stop.getAsBoolean() || dir.isToStop()).with(workers);
            if (from != null)
                loop.resume(from);
            TrainLoop.Result r = loop.run();
            dir.stopped();
            done = r.step();
            if (r.finished()) {
                workers.close();
                if (config.result() == RunConfig.Result.BEST && r.bestStep() > 0)
                    session.restore(dir.read(r.bestStep()).state());
                session.pull();
                dir.replace(training.folder(), training::write);
            }
            return r;
        }
    }

    static <B> TrainLoop<B> loop(Training<B> training, LearningSession<B> session, Trainable<B> trained) {
        LoopSettings c = training.config();
        return new TrainLoop<>(trained, training.batches(), training.steps(), training.validation(session), c.train())
                .evaluating(c.evaluateEvery(), c.patience());
    }

    /// The session; on a device with its first step checked against the CPU.
    private Trainable<B> checked(List<TrainListener> told) {
        return FirstStepCheck.over(session, training, backend, workers, from() + 1, why -> {
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
                return training.config().output().checkpointEvery();
            }

            @Override
            public Path save(Checkpoint c) {
                session.pull();
                metrics.force();
                return dir.save(c, training.config().output().keep(),
                        d -> training.write(d.resolve(training.folder())));
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

    public LoopSettings config() {
        return training.config();
    }

    public RunDir dir() {
        return dir;
    }

    /// Peak of the process on the CPU.
    public long expectedPeak() {
        return training.expectedPeak(session);
    }

    /// Where the result will be.
    public Path result() {
        return dir.path().resolve(training.folder());
    }

    public LearningSession<B> session() {
        return session;
    }

    public long steps() {
        return training.steps();
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
        return Workers.describe(training.config().train(), workers);
    }

    /// Step to go on from, 0 for a new run.
    public long from() {
        return from == null ? 0 : from.step();
    }

    /// Remarks that a user should see before the run starts.
    public List<String> notes() {
        return List.copyOf(notes);
    }

    @Override
    public void close() {
        try (lock) {
            training.close();
            session.close();
        }
    }
}
