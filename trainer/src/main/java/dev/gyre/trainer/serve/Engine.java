package dev.gyre.trainer.serve;

import dev.gyre.kernels.GyreException;
import dev.gyre.model.transformer.BatchDecoder;
import dev.gyre.model.transformer.Sampler;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// Answers requests together: each has a slot of one [BatchDecoder], new ones join and finished ones leave between two
/// passes. A pass gives a token to every sequence of one model; models take turns. While sequences grow, one part of one
/// prompt is fed between two passes, so that a long prompt slows the others down but does not stop them.
///
/// One thread computes. Who asks never makes it wait: tokens go into a queue of the request, which holds at most the whole
/// answer.
public final class Engine implements AutoCloseable {
    private static final int END = -1;
    private static final long LOOKS_MILLIS = 50;

    /// What ends an answer.
    public enum End {
        /// The model said so.
        STOP,
        /// As many tokens as were asked for, or as the context has room for.
        LENGTH,
        /// Whoever asked, or the server, no longer wants it.
        CANCELLED,
        /// [Answer#failure] says why.
        FAILED
    }

    /// What is asked for.
    ///
    /// @param model index of the decoder's model
    /// @param most tokens
    /// @param stops tokens that end the answer and are not part of it
    public record Ask(int model, int[] prompt, int most, Set<Integer> stops, Sampler sampler) {
    }

    /// An answer as it is made.
    public static final class Answer {
        private final Ask ask;
        private final BlockingQueue<Integer> tokens = new LinkedBlockingQueue<>();
        private volatile boolean cancelled;
        private volatile @Nullable End end;
        private volatile @Nullable GyreException failure;
        private volatile int held;
        private volatile boolean begun;
        // of the engine's thread
        private int fed;
        private int next;
        private int made;

        private Answer(Ask ask) {
            this.ask = ask;
        }

        /// Waits for a token.
        ///
        /// @return the token; -1 at the end, from then on; -2 when none came in time
        public int next(long millis) throws InterruptedException {
            if (end != null && tokens.isEmpty())
                return END;
            Integer t = tokens.poll(millis, TimeUnit.MILLISECONDS);
            return t == null ? -2 : t;
        }

        /// Nobody waits for it any more; its slot is free soon.
        public void cancel() {
            cancelled = true;
        }

        /// Why it ended; null before.
        public @Nullable End end() {
            return end;
        }

        /// Why it failed; null if it did not.
        public @Nullable GyreException failure() {
            return failure;
        }

        /// Whether it has left the queue.
        public boolean begun() {
            return begun;
        }

        /// Tokens of the prompt that were in the cache already.
        public int held() {
            return held;
        }

        private void end(End how) {
            end = how;
            tokens.add(END);
        }
    }

    private final BatchDecoder decoder;
    private final ArrayBlockingQueue<Answer> waiting;
    private final @Nullable Answer[] running;
    private final Thread thread;
    private volatile boolean closing;
    private final AtomicInteger busy = new AtomicInteger();
    private final CountDownLatch done = new CountDownLatch(1);
    private final AtomicLong passes = new AtomicLong();
    private final AtomicLong rows = new AtomicLong();
    private final AtomicLong fedTokens = new AtomicLong();
    private int turn;
    private final float[][] logits;

    /// @param decoder closed with the engine
    /// @param models number of the decoder's models
    /// @param V vocabulary of the model
    /// @param queue requests that may wait for a slot
    public Engine(BatchDecoder decoder, int models, int V, int queue) {
        this.decoder = decoder;
        this.waiting = new ArrayBlockingQueue<>(Math.max(1, queue));
        this.running = new @Nullable Answer[decoder.slots()];
        this.logits = new float[decoder.slots()][V];
        this.thread = Thread.ofPlatform().name("gyre-engine").unstarted(() -> work(models));
        thread.start();
    }

    /// Takes a request.
    ///
    /// @return null when the queue is full, or the engine is closing
    public @Nullable Answer submit(Ask ask) {
        Answer a = new Answer(ask);
        return !closing && waiting.offer(a) ? a : null;
    }

    /// Whether it takes no more requests.
    public boolean closing() {
        return closing;
    }

    /// Longest sequence.
    public int positions() {
        return decoder.positions();
    }

    public int slots() {
        return running.length;
    }

    /// Slots in use.
    public int busy() {
        return busy.get();
    }

    /// Requests that wait for a slot.
    public int queued() {
        return waiting.size();
    }

    /// Passes that gave tokens.
    public long passes() {
        return passes.get();
    }

    /// Tokens that they gave.
    public long rows() {
        return rows.get();
    }

    /// Tokens of prompts that were fed.
    public long fed() {
        return fedTokens.get();
    }

    private void work(int models) {
        try {
            while (true) {
                admit();
                if (busy.get() == 0) {
                    if (closing && waiting.isEmpty())
                        return;
                    Answer a = waiting.poll(LOOKS_MILLIS, TimeUnit.MILLISECONDS);
                    if (a != null)
                        place(a);
                    continue;
                }
                feed();
                for (int m = 0; m < models; m++)
                    pass(m);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            closing = true;
            for (Answer a = waiting.poll(); a != null; a = waiting.poll())
                a.end(End.CANCELLED);
            for (int s = 0; s < running.length; s++)
                leave(s, End.CANCELLED);
            decoder.close();
            done.countDown();
        }
    }

    /// Frees the slots of those that nobody waits for, and gives free ones to those that wait.
    private void admit() {
        for (int s = 0; s < running.length; s++) {
            Answer a = running[s];
            if (a != null && a.cancelled)
                leave(s, End.CANCELLED);
        }
        while (busy.get() < running.length) {
            Answer a = waiting.poll();
            if (a == null)
                return;
            place(a);
        }
    }

    private void place(Answer a) {
        a.begun = true;
        if (a.cancelled) {
            a.end(End.CANCELLED);
            return;
        }
        int best = -1;
        int held = -1;
        for (int s = 0; s < running.length; s++)
            if (running[s] == null) {
                int there = decoder.held(s, a.ask.model, a.ask.prompt);
                // of those that hold nothing of it, the one that holds least of anything else
                if (there > held || there == held && decoder.position(s) < decoder.position(best)) {
                    best = s;
                    held = there;
                }
            }
        try {
            a.fed = decoder.open(best, a.ask.model, a.ask.prompt);
            a.held = a.fed;
            a.next = a.ask.prompt[a.ask.prompt.length - 1];
            running[best] = a;
            busy.incrementAndGet();
        } catch (RuntimeException | Error e) {
            a.failure = known(e);
            a.end(End.FAILED);
            decoder.rewind(best, 0);
        }
    }

    private static GyreException known(Throwable t) {
        return t instanceof GyreException g ? g : new ServeException(String.valueOf(t), t);
    }

    private void leave(int slot, End how) {
        Answer a = running[slot];
        if (a == null)
            return;
        running[slot] = null;
        busy.decrementAndGet();
        a.end(how);
    }

    private void fail(int slot, Throwable t) {
        Answer a = running[slot];
        if (a != null)
            a.failure = known(t);
        leave(slot, End.FAILED);
        decoder.rewind(slot, 0);
    }

    /// Feeds parts of prompts: one if there are sequences that wait for their next token.
    private void feed() {
        boolean others = false;
        for (Answer a : running)
            others |= a != null && ready(a);
        for (int i = 0; i < running.length; i++) {
            int s = (turn + i) % running.length;
            Answer a = running[s];
            if (a == null || ready(a))
                continue;
            int to = Math.min(a.ask.prompt.length - 1, a.fed + BatchDecoder.CHUNK);
            try {
                decoder.feed(s, Arrays.copyOfRange(a.ask.prompt, a.fed, to));
                fedTokens.addAndGet(to - a.fed);
                a.fed = to;
            } catch (RuntimeException | Error e) {
                fail(s, e);
            }
            if (others) {
                turn = s + 1;
                return;
            }
        }
    }

    /// Whether all of the prompt is fed but its last token.
    private static boolean ready(Answer a) {
        return a.fed >= a.ask.prompt.length - 1;
    }

    /// A token for each sequence of a model.
    private void pass(int model) {
        List<Integer> at = new ArrayList<>();
        for (int s = 0; s < running.length; s++) {
            Answer a = running[s];
            if (a != null && a.ask.model == model && ready(a) && !a.cancelled)
                at.add(s);
        }
        if (at.isEmpty())
            return;
        int[] slots = at.stream().mapToInt(Integer::intValue).toArray();
        try {
            decoder.next(slots, Arrays.stream(slots).map(s -> of(s).next).toArray(), logits);
        } catch (RuntimeException | Error e) {
            for (int s : slots)
                fail(s, e);
            return;
        }
        passes.incrementAndGet();
        rows.addAndGet(slots.length);
        for (int i = 0; i < slots.length; i++)
            try {
                token(slots[i], of(slots[i]), logits[i]);
            } catch (RuntimeException e) {
                fail(slots[i], e);
            }
    }

    private Answer of(int slot) {
        Answer a = running[slot];
        if (a == null)
            throw new IllegalStateException("slot " + slot + " is free");
        return a;
    }

    /// As [dev.gyre.model.transformer.Generator#run] goes on from some logits.
    private void token(int slot, Answer a, float[] logits) {
        int token = a.ask.sampler.next(logits);
        if (a.ask.stops.contains(token)) {
            leave(slot, End.STOP);
            return;
        }
        a.tokens.add(token);
        a.next = token;
        if (++a.made == a.ask.most)
            leave(slot, End.LENGTH);
    }

    /// Takes no more requests; returns when all that were taken are answered, or after some time, when what is left is
    /// cancelled.
    ///
    /// @return whether all were answered
    public boolean drain(long millis) throws InterruptedException {
        closing = true;
        return done.await(millis, TimeUnit.MILLISECONDS);
    }

    @Override
    public void close() {
        closing = true;
        thread.interrupt();
        boolean interrupted = false;
        while (true)
            try {
                thread.join();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        if (interrupted)
            Thread.currentThread().interrupt();
    }
}
