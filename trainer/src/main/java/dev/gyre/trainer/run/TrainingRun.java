package dev.gyre.trainer.run;

import dev.gyre.kernels.Backend;
import dev.gyre.kernels.Session;
import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.kernels.op.HostData;
import dev.gyre.model.files.FolderLock;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.TrainSession;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.config.ConfigException;
import dev.gyre.trainer.config.ConfigReader;
import dev.gyre.trainer.config.ConfigWriter;
import dev.gyre.trainer.config.RunConfig;
import dev.gyre.trainer.data.Batches;
import dev.gyre.trainer.data.Example;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.data.RunData;
import dev.gyre.trainer.data.TokenizedSet;
import dev.gyre.trainer.loop.Checkpoint;
import dev.gyre.trainer.loop.TrainListener;
import dev.gyre.trainer.loop.TrainLoop;
import dev.gyre.trainer.loop.Trainable;
import dev.gyre.trainer.plan.HeapTrim;
import dev.gyre.trainer.plan.MemoryEstimate;
import dev.gyre.trainer.record.MetricsLog;
import dev.gyre.trainer.record.Provenance;
import dev.gyre.trainer.record.RunDir;
import dev.gyre.trainer.record.TfEvents;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// A run from data to result: tokens, batches, programs, loop, checkpoints, the final files. Prints nothing; whoever opens
/// it asks for what it wants to show and listens.
public final class TrainingRun implements AutoCloseable {
    /// What is trained, on what, and how.
    ///
    /// @param config the whole configuration, to be kept with the run
    /// @param model with the adapter, if any, attached
    /// @param checkDevice whether a device other than the CPU must take the first step as the CPU does
    /// @param full whether all weights are trained
    /// @param inputs files and folders that the run reads, for provenance
    /// @param export writes the adapter or model into a folder that does not exist yet
    /// @param result name of that folder in the run directory
    public record Setup(Record config, RunConfig.Data data, RunConfig.Train train, RunConfig.Eval eval,
            RunConfig.Output output, long seed, boolean checkDevice, Transformer model, boolean full, ModelText text,
            List<Path> inputs,
            Consumer<Path> export, String result, String version) {
    }

    private final Setup setup;
    private final Backend backend;
    private final RunDir dir;
    private final FolderLock lock;
    private final RunData data;
    private final TrainSession session;
    private final @Nullable Checkpoint from;
    private final List<String> notes = new ArrayList<>();
    private final List<Example.Completion> tasks;
    private final long steps;
    private long done;
    private @Nullable Decoder decoder;

    private TrainingRun(Setup s, boolean resume, Backend backend) {
        this.setup = s;
        this.backend = backend;
        RunConfig.Train t = s.train();
        RunConfig.Data d = s.data();
        int context = s.model().config().maxPositionEmbeddings();
        if (t.seqLen() > context)
            notes.add("train.seq_len " + t.seqLen() + " is longer than the model's context of " + context);
        // everything that can be wrong with the inputs shows before the run directory is touched
        this.data = RunData.read(d, t, s.eval(), s.seed(), s.text());
        this.steps = data.steps();
        this.tasks = data.tasks();
        Path path = Path.of(s.output().dir());
        if (resume)
            checkConfig(path);
        RunDir folder = resume ? RunDir.open(path) : null;
        FolderLock own = folder == null ? null : folder.lock();
        TrainSession opened = null;
        try {
            this.from = folder == null ? null : folder.latest();
            if (resume && from == null)
                notes.add("no checkpoint yet in " + path + ": starting from step 0");
            if (from != null && from.step() >= steps)
                notes.add("the run is complete at step " + from.step() + "; raise train.steps to train on");
            List<Path> inputs = new ArrayList<>(s.inputs());
            inputs.add(Path.of(d.train()));
            if (d.valid() != null)
                inputs.add(Path.of(d.valid()));
            d.alsoValid().values().forEach(f -> inputs.add(Path.of(f)));
            var provenance = Provenance.describe(s.version(), backend.describe(), inputs);
            HeapTrim.collect(); // what reading, rounding and decomposing the weights left behind
            // before any file: a run that does not fit leaves no folder that would be in the way of one that does
            opened = new TrainSession(s.model(), backend, RunData.shapes(t), s.full(), uses(t), s.seed());
            HeapTrim.collect(); // the array that the trained numbers came in
            if (folder == null) {
                folder = RunDir.create(path);
                own = folder.lock();
            }
            // first of all files: what is killed from here on can be resumed
            folder.write("run.yaml", ConfigWriter.resolved(s.config()));
            if (resume)
                Provenance.resume(folder, provenance);
            else
                Provenance.write(folder, provenance);
            folder.write("program.txt", opened.programs());
        } catch (RuntimeException | Error e) {
            if (opened != null)
                opened.close();
            if (own != null)
                own.close();
            throw e;
        }
        this.dir = folder;
        this.lock = Objects.requireNonNull(own);
        this.session = opened;
    }

    /// What a run opens its session for.
    public static Set<TrainSession.Use> uses(RunConfig.Train t) {
        Set<TrainSession.Use> uses = EnumSet.of(TrainSession.Use.TRAIN, TrainSession.Use.EVALUATE);
        if (t.gradientCheckpointing())
            uses.add(TrainSession.Use.GRADIENT_CHECKPOINTING);
        return uses;
    }

    /// Reads the data, opens the run directory and prepares the programs.
    ///
    /// @param resume go on with the run in the output directory
    public static TrainingRun open(Setup setup, boolean resume, Backend backend) {
        return new TrainingRun(setup, resume, backend);
    }

    /// What may differ from the configuration that the run was started with: where to compute, where and how often to look
    /// and save, and how long to go on.
    private static boolean free(String key) {
        return key.startsWith("eval.") || key.startsWith("results.") || key.startsWith("output.")
                || key.equals("train.steps")
                || key.equals("train.epochs")
                || key.equals("train.gradient_checkpointing")
                || key.equals("device") || key.equals("precision") || key.equals("check_device");
    }

    private void checkConfig(Path path) {
        Path file = path.resolve("run.yaml");
        if (!java.nio.file.Files.exists(file))
            return; // RunDir.open has the better message
        Map<String, String> before = ConfigWriter.flat(ConfigReader.read(file, setup.config().getClass(), List.of()));
        Map<String, String> now = ConfigWriter.flat(setup.config());
        TreeSet<String> keys = new TreeSet<>(before.keySet());
        keys.addAll(now.keySet());
        for (String key : keys) {
            String a = before.getOrDefault(key, "absent");
            String b = now.getOrDefault(key, "absent");
            if (a.equals(b))
                continue;
            if (!free(key))
                throw new ConfigException(file + ": the run was started with " + key + ": " + a + ", now it is " + b
                        + "; resuming needs the same value, or start a new run in another output.dir");
            if (key.startsWith("train."))
                notes.add(key + " was " + a + ", now " + b + ": the learning rate follows the new length");
        }
    }

    /// Trains to the end, or until `stop`; writes the result when the last step is done.
    public TrainLoop.Result run(List<TrainListener> listeners, BooleanSupplier stop) {
        List<TrainListener> all = new ArrayList<>(listeners);
        try (MetricsLog metrics = new MetricsLog(dir.metrics(), from == null ? 0 : from.step())) {
            all.add(metrics);
            if (setup.output().tensorboard())
                all.add(new TfEvents(dir.path().resolve("tb"), from == null ? 0 : from.step()));
            if (!tasks.isEmpty())
                all.add(sampling(List.copyOf(all)));
            Trainable trainee = Trainable.of(session);
            if (setup.checkDevice() && !(backend instanceof CpuBackend))
                trainee = new FirstStepCheck(trainee, backend.name(), backend.precision(), this::cpuTwin, r -> {
                    Provenance.add(dir, "first_step_check", r.toString());
                    String text = "step " + (from() + 1) + " is the CPU's: " + r;
                    all.forEach(l -> l.onDeviceCheck(text, r.seconds(), r.cpuSeconds()));
                });
            all.addFirst(new TrainListener() {
                private boolean told;

                @Override
                public void onCheckpoint(long t, Path where, boolean best) {
                    HeapTrim.collect();
                }

                @Override
                public void onStep(Step step) {
                    Session.Compiled c = told ? null : session.compiled();
                    told = true;
                    if (c != null)
                        all.forEach(l -> l.onCompiled(c.kernels(), c.seconds()));
                }
            });
            TrainLoop loop = new TrainLoop(trainee, data.batches(), data.validation(), data.alsoValid(),
                    setup.train(), steps, setup.eval().every(), setup.eval().patience(), new TrainLoop.Saver() {
                        @Override
                        public int every() {
                            return setup.output().checkpointEvery();
                        }

                        @Override
                        public Path save(Checkpoint c) {
                            session.pull();
                            return dir.save(c, setup.output().keep(),
                                    d -> setup.export().accept(d.resolve(setup.result())));
                        }
                    }, all, stop);
            if (from != null)
                loop.resume(from);
            TrainLoop.Result r = loop.run();
            done = r.step();
            if (r.finished()) {
                if (setup.eval().result() == RunConfig.Result.BEST && r.bestStep() > 0)
                    session.restore(dir.read(r.bestStep()).state());
                session.pull();
                dir.replace(setup.result(), setup.export());
            }
            return r;
        }
    }

    /// Lets the model answer some tasks after each evaluation, and tells `others`.
    private TrainListener sampling(List<TrainListener> others) {
        return new TrainListener() {
            @Override
            public void onEvaluation(Evaluation e) {
                long start = System.nanoTime();
                session.pull();
                List<String> answers = answers();
                List<Sample> all = new ArrayList<>();
                for (int i = 0; i < tasks.size(); i++)
                    all.add(new Sample(tasks.get(i).prompt(), tasks.get(i).completion(), answers.get(i)));
                Samples s = new Samples(e.t(), all, (System.nanoTime() - start) / 1e9);
                others.forEach(l -> l.onSamples(s));
            }
        };
    }

    /// A device keeps the decoder, whose kernels it compiled. The CPU compiles nothing and has its memory back; and a decoder
    /// does not see weights that change, as in full training.
    private List<String> answers() {
        if (backend instanceof CpuBackend || setup.full())
            return dev.gyre.trainer.measure.Evaluation.given(setup.model(), backend, tasks, setup.text());
        int room = dev.gyre.trainer.measure.Evaluation.room(tasks, setup.model().config().maxPositionEmbeddings(),
                setup.text());
        Decoder d = decoder;
        if (d == null) {
            d = new Decoder(setup.model(), backend, room);
            decoder = d;
        } else
            d.reload();
        return dev.gyre.trainer.measure.Evaluation.given(d, room, tasks, setup.text());
    }

    private FirstStepCheck.Twin cpuTwin() {
        TrainSession s = new TrainSession(setup.model(), new CpuBackend(),
                RunData.shapes(setup.train()), setup.full(),
                Set.of(TrainSession.Use.TRAIN), setup.seed());
        Trainable t = Trainable.of(s);
        return new FirstStepCheck.Twin() {
            @Override
            public Trainable trainee() {
                return t;
            }

            @Override
            public void close() {
                s.close();
            }
        };
    }

    public RunDir dir() {
        return dir;
    }

    /// Peak of the process as [MemoryEstimate] has it, on the CPU.
    public long expectedPeak() {
        long stored = setup.full() ? setup.model().weights().values().stream().mapToLong(HostData::bytes).sum() : 0;
        MemoryEstimate.Load load = data.load(setup.model().config().maxPositionEmbeddings(), setup.text());
        return stored + session.plannedBytes() + (load.room() == 0 ? 0 : Decoder.bytes(setup.model(), load.room()))
                + MemoryEstimate.beside(session.trainableNumbers(), load.bytes(),
                        Runtime.getRuntime().availableProcessors());
    }

    /// Where the result will be.
    public Path result() {
        return dir.path().resolve(setup.result());
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

    public Batches batches() {
        return data.batches();
    }

    public long steps() {
        return steps;
    }

    /// Steps done when [#run] ended: fewer than [#steps] where it stopped early.
    public long done() {
        return done;
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
        return setup.model();
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
