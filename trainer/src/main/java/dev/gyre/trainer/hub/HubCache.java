package dev.gyre.trainer.hub;

import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/// The models on this machine, where Python's tools keep them: `models--ORG--NAME` with
/// - `blobs/ETAG`: contents, named by their hash;
/// - `snapshots/COMMIT/FILE`: links to them (copies where the file system has no links);
/// - `refs/BRANCH`: the commit that a branch was at.
///
/// A file under its final name is complete and was checked. What is being fetched is `blobs/ETAG.gyre.incomplete`; Python's
/// tools write under other names, so that neither continues what the other writes.
final class HubCache {
    private static final List<String> TOKENIZER =
            List.of("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt",
                    "gyre_tokenizer.json", "preprocessor_config.json");

    private final Path root;
    private final boolean links;

    HubCache(Path root, boolean links) {
        this.root = root;
        this.links = links;
    }

    Path root() {
        return root;
    }

    private Path model(HubName name) {
        return root.resolve("models--" + name.id().replace("/", "--"));
    }

    private Path blobs(HubName name) {
        return model(name).resolve("blobs");
    }

    Path snapshot(HubName name, String commit) {
        return model(name).resolve("snapshots").resolve(commit);
    }

    /// The snapshot of a model; null if it is not here, or not all that Gyre needs of it.
    @Nullable
    Path find(HubName name) {
        String commit = commit(name);
        Path snapshot = commit == null ? null : snapshot(name, commit);
        return snapshot != null && missing(snapshot) == null ? snapshot : null;
    }

    /// One file of a model; null if it is not here.
    @Nullable
    Path file(HubName name, String file) {
        String commit = commit(name);
        Path at = commit == null ? null : snapshot(name, commit).resolve(file);
        return at != null && Files.isRegularFile(at) ? at : null;
    }

    /// The commit that a name stands for as far as this machine knows.
    @Nullable
    String commit(HubName name) {
        String wanted = name.wanted();
        if (HubName.isCommit(wanted))
            return wanted;
        Path ref = model(name).resolve("refs").resolve(wanted);
        try {
            if (!Files.isRegularFile(ref) || Files.size(ref) > 200)
                return null;
            String commit = Files.readString(ref).strip();
            return HubName.isCommit(commit) ? commit : null;
        } catch (IOException e) {
            return null;
        }
    }

    void setCommit(HubName name, String commit) {
        Path ref = model(name).resolve("refs").resolve(name.wanted());
        if (HubName.isCommit(name.wanted()) || commit.equals(commit(name)))
            return;
        AtomicFiles.createFolder(ref.resolveSibling("."));
        AtomicFiles.write(ref, commit);
    }

    /// What a snapshot lacks; null if it is complete. Others may have fetched a part of it.
    static @Nullable String missing(Path snapshot) {
        if (Files.isRegularFile(snapshot.resolve("adapter_config.json"))
                && Files.isRegularFile(snapshot.resolve("adapter_model.safetensors")))
            return null;
        if (!Files.isRegularFile(snapshot.resolve("config.json")))
            return "config.json";
        if (TOKENIZER.stream().noneMatch(t -> Files.isRegularFile(snapshot.resolve(t))))
            return "a tokenizer";
        if (Files.isRegularFile(snapshot.resolve("model.safetensors")))
            return null;
        Path index = snapshot.resolve("model.safetensors.index.json");
        if (!Files.isRegularFile(index))
            return "model.safetensors";
        TreeSet<String> shards = new TreeSet<>();
        for (JsonNode shard : Json.readObject(index).path("weight_map"))
            shards.add(shard.asString(""));
        for (String shard : shards)
            if (!shard.matches("[\\w][\\w.+-]*") || !Files.isRegularFile(snapshot.resolve(shard)))
                return shard;
        return null;
    }

    /// Whether a file of a snapshot is here, whole.
    boolean has(HubName name, String commit, HubFile file) {
        return is(snapshot(name, commit).resolve(file.path()), file.size());
    }

    private static boolean is(Path p, long size) {
        try {
            return Files.isRegularFile(p) && Files.size(p) == size;
        } catch (IOException e) {
            return false;
        }
    }

    /// A file's content, as it is being fetched.
    Path part(HubName name, HubFile file) {
        return blobs(name).resolve(file.etag() + ".gyre.incomplete");
    }

    /// Whether the content is here under its final name.
    boolean hasBlob(HubName name, HubFile file) {
        return is(blobs(name).resolve(file.etag()), file.size());
    }

    /// Gives content that was checked its final name.
    void keep(HubName name, HubFile file) throws IOException {
        Files.move(part(name, file), blobs(name).resolve(file.etag()), StandardCopyOption.ATOMIC_MOVE,
                StandardCopyOption.REPLACE_EXISTING);
    }

    /// Puts a file into its snapshot, whose content is there.
    void link(HubName name, String commit, HubFile file) throws IOException {
        Path blob = blobs(name).resolve(file.etag()).toAbsolutePath().normalize();
        Path at = snapshot(name, commit).resolve(file.path()).toAbsolutePath().normalize();
        Path folder = at.resolveSibling(".").normalize();
        Files.createDirectories(folder);
        if (is(at, file.size()))
            return;
        Files.deleteIfExists(at); // a link to what is gone
        if (links)
            try {
                Files.createSymbolicLink(at, folder.relativize(blob));
                return;
            } catch (FileAlreadyExistsException e) {
                return; // another process was quicker
            } catch (UnsupportedOperationException | FileSystemException e) {
                // Windows without the right to make links, FAT, some network drives: then the file itself
            }
        Files.move(blob, at, StandardCopyOption.ATOMIC_MOVE);
    }

    /// Makes the folders, and finds out whether they can be written.
    void prepare(HubName name) {
        AtomicFiles.createFolder(blobs(name));
        AtomicFiles.createFolder(locks(name));
    }

    private Path locks(HubName name) {
        return root.resolve(".locks").resolve(String.valueOf(model(name).getFileName()));
    }

    /// Waits until no other process, and no other thread of this one, fetches the same content.
    ///
    /// @param waiting told once if there is one
    Lock lock(HubName name, HubFile file, Runnable waiting) throws IOException, InterruptedException {
        FileChannel c = FileChannel.open(locks(name).resolve(file.etag() + ".lock"), StandardOpenOption.CREATE,
                StandardOpenOption.WRITE);
        boolean told = false;
        try {
            while (true) {
                try {
                    FileLock lock = c.tryLock();
                    if (lock != null)
                        return new Lock(c);
                } catch (OverlappingFileLockException e) {
                    // another thread
                } catch (IOException e) {
                    return new Lock(c); // a file system without locks: contents are checked all the same
                }
                if (!told)
                    waiting.run();
                told = true;
                Thread.sleep(100);
            }
        } catch (InterruptedException | RuntimeException e) {
            c.close();
            throw e;
        }
    }

    /// Lets go of the lock; the file stays, as Python's do.
    record Lock(FileChannel channel) implements AutoCloseable {
        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /// Bytes of contents that still have to be fetched.
    long rest(HubName name, String commit, HubFile file) {
        if (has(name, commit, file) || hasBlob(name, file))
            return 0;
        Path part = part(name, file);
        try {
            long have = Files.exists(part, LinkOption.NOFOLLOW_LINKS) ? Files.size(part) : 0;
            return have <= file.size() ? file.size() - have : file.size();
        } catch (IOException e) {
            return file.size();
        }
    }
}
