package dev.gyre.trainer.data;

import dev.gyre.trainer.config.DataFiles;
import java.util.Arrays;

/// Which examples of a set are held out for validation: those whose hash of content and seed is lowest. So the choice
/// depends on nothing but what the examples say: not on the tokenizer, the length of rows, the order of the files, or
/// what else changes between two runs; and examples that are equal are on the same side.
final class HeldOut {
    private static final int BUCKETS = 1 << 20;
    private static final int SHIFT = 64 - 20;

    private final long seed;
    private final long limit;
    private final int size;

    private HeldOut(long seed, long limit, int size) {
        this.seed = seed;
        this.limit = limit;
        this.size = size;
    }

    private static long rank(long content, long seed) {
        return Content.mixed(content ^ Content.mixed(seed + 0x9e3779b97f4a7c15L));
    }

    static HeldOut of(String name, TokenStore store, DataFiles.Split split, long seed) {
        int all = store.size();
        long wanted = split.count() > 0 ? split.count() : Math.max(1, Math.round(split.share() * all));
        if (wanted >= all)
            throw new DataException(name + ": data.valid takes " + wanted + " of its " + all
                    + " examples, and none would be left to train on; hold out fewer");
        // two passes in little memory: the bucket of the last one that is wanted, then its place there
        int[] count = new int[BUCKETS];
        store.hashes(h -> count[(int) (rank(h, seed) >>> SHIFT)]++);
        long before = 0;
        int bucket = 0;
        while (before + count[bucket] < wanted)
            before += count[bucket++];
        long[] there = new long[count[bucket]];
        int[] n = {0};
        int chosen = bucket;
        store.hashes(h -> {
            long r = rank(h, seed);
            if ((int) (r >>> SHIFT) == chosen)
                there[n[0]++] = r;
        });
        Arrays.sort(there);
        int last = (int) (wanted - before) - 1;
        long limit = there[last];
        // equal ones with it
        while (last + 1 < there.length && there[last + 1] == limit)
            last++;
        long size = before + last + 1;
        if (size >= all)
            throw new DataException(name + ": its examples are too much alike to hold some out: equal ones stay"
                    + " together, and none would be left to train on; name a file for data.valid");
        return new HeldOut(seed, limit, (int) size);
    }

    /// Examples that are held out.
    int size() {
        return size;
    }

    /// Whether an example of this content is held out.
    boolean has(long content) {
        return Long.compareUnsigned(rank(content, seed), limit) <= 0;
    }
}
