package dev.gyre.trainer.cli;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.AccessMode;
import java.nio.file.CopyOption;
import java.nio.file.DirectoryStream;
import java.nio.file.FileStore;
import java.nio.file.FileSystem;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.nio.file.ProviderMismatchException;
import java.nio.file.StandardOpenOption;
import java.nio.file.WatchEvent;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileAttributeView;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.nio.file.spi.FileSystemProvider;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/// The file system of this machine, whose disk is full from any moment on that a test chooses: the JVM takes it for its own
/// when it is started with `-Djava.nio.file.spi.DefaultFileSystemProvider=` the name of this class. What needs room fails
/// then, as Linux has it fail: making a file or a folder, writing, and forcing what was written to the disk. Reading,
/// renaming and deleting go on.
public final class FullDisk extends FileSystemProvider {
    /// Calls that need room, since [#fillAt].
    private static long calls;
    private static long full = Long.MAX_VALUE;

    private final FileSystemProvider real;
    private final Disk disk;

    /// Of the file system that it stands in front of.
    public FullDisk(FileSystemProvider real) {
        this.real = real;
        this.disk = new Disk(this, real.getFileSystem(URI.create("file:///")));
    }

    /// From now on, the first `n` calls that need room succeed.
    static synchronized void fillAt(long n) {
        calls = 0;
        full = n;
    }

    /// There is room again.
    ///
    /// @return calls that needed some
    static synchronized long empty() {
        full = Long.MAX_VALUE;
        return calls;
    }

    /// Whether a call that needed room found none.
    static synchronized boolean wasFull() {
        return calls > full;
    }

    private static synchronized void take(Object file) throws IOException {
        if (++calls > full)
            throw new FileSystemException(file.toString(), null, "No space left on device");
    }

    private static synchronized void take() throws IOException {
        if (++calls > full)
            throw new IOException("No space left on device");
    }

    private Path wrap(Path p) {
        return new Name(disk, p);
    }

    private static Path unwrap(Path p) {
        if (p instanceof Name n)
            return n.real;
        throw new ProviderMismatchException(p.toString());
    }

    @Override
    public String getScheme() {
        return real.getScheme();
    }

    @Override
    public FileSystem newFileSystem(URI uri, Map<String, ?> env) throws IOException {
        return real.newFileSystem(uri, env);
    }

    @Override
    public FileSystem getFileSystem(URI uri) {
        return disk;
    }

    @Override
    public Path getPath(URI uri) {
        return wrap(real.getPath(uri));
    }

    private static boolean writes(Set<? extends OpenOption> options) {
        return options.contains(StandardOpenOption.WRITE) || options.contains(StandardOpenOption.APPEND);
    }

    private static boolean creates(Path real, Set<? extends OpenOption> options) {
        return options.contains(StandardOpenOption.CREATE_NEW)
                || options.contains(StandardOpenOption.CREATE) && !Files.exists(real);
    }

    @Override
    public FileChannel newFileChannel(Path path, Set<? extends OpenOption> options, FileAttribute<?>... attrs)
            throws IOException {
        Path p = unwrap(path);
        if (!writes(options))
            return real.newFileChannel(p, options, attrs);
        if (creates(p, options))
            take(path);
        return new Channel(real.newFileChannel(p, options, attrs));
    }

    @Override
    public SeekableByteChannel newByteChannel(Path path, Set<? extends OpenOption> options, FileAttribute<?>... attrs)
            throws IOException {
        return writes(options) ? newFileChannel(path, options, attrs)
                : real.newByteChannel(unwrap(path), options, attrs);
    }

    @Override
    public OutputStream newOutputStream(Path path, OpenOption... options) throws IOException {
        Set<OpenOption> all = options.length == 0
                ? Set.of(StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)
                : new java.util.HashSet<>(Set.of(options));
        if (!writes(all))
            all.add(StandardOpenOption.WRITE);
        return Channels.newOutputStream(newFileChannel(path, all));
    }

    @Override
    public DirectoryStream<Path> newDirectoryStream(Path dir, DirectoryStream.Filter<? super Path> filter)
            throws IOException {
        DirectoryStream<Path> all = real.newDirectoryStream(unwrap(dir), p -> filter.accept(wrap(p)));
        return new DirectoryStream<>() {
            @Override
            public Iterator<Path> iterator() {
                return StreamSupport.stream(all.spliterator(), false).map(FullDisk.this::wrap).iterator();
            }

            @Override
            public void close() throws IOException {
                all.close();
            }
        };
    }

    @Override
    public void createDirectory(Path dir, FileAttribute<?>... attrs) throws IOException {
        if (!Files.exists(unwrap(dir)))
            take(dir);
        real.createDirectory(unwrap(dir), attrs);
    }

    @Override
    public void createSymbolicLink(Path link, Path target, FileAttribute<?>... attrs) throws IOException {
        take(link);
        real.createSymbolicLink(unwrap(link), unwrap(target), attrs);
    }

    @Override
    public void createLink(Path link, Path existing) throws IOException {
        take(link);
        real.createLink(unwrap(link), unwrap(existing));
    }

    @Override
    public Path readSymbolicLink(Path link) throws IOException {
        return wrap(real.readSymbolicLink(unwrap(link)));
    }

    @Override
    public void delete(Path path) throws IOException {
        real.delete(unwrap(path));
    }

    @Override
    public void copy(Path source, Path target, CopyOption... options) throws IOException {
        take(target);
        real.copy(unwrap(source), unwrap(target), options);
    }

    @Override
    public void move(Path source, Path target, CopyOption... options) throws IOException {
        real.move(unwrap(source), unwrap(target), options);
    }

    @Override
    public boolean isSameFile(Path a, Path b) throws IOException {
        return real.isSameFile(unwrap(a), unwrap(b));
    }

    @Override
    public boolean isHidden(Path path) throws IOException {
        return real.isHidden(unwrap(path));
    }

    @Override
    public FileStore getFileStore(Path path) throws IOException {
        return real.getFileStore(unwrap(path));
    }

    @Override
    public void checkAccess(Path path, AccessMode... modes) throws IOException {
        real.checkAccess(unwrap(path), modes);
    }

    @Override
    public <V extends FileAttributeView> V getFileAttributeView(Path path, Class<V> type, LinkOption... options) {
        return real.getFileAttributeView(unwrap(path), type, options);
    }

    @Override
    public <A extends BasicFileAttributes> A readAttributes(Path path, Class<A> type, LinkOption... options)
            throws IOException {
        return real.readAttributes(unwrap(path), type, options);
    }

    @Override
    public Map<String, Object> readAttributes(Path path, String attributes, LinkOption... options) throws IOException {
        return real.readAttributes(unwrap(path), attributes, options);
    }

    @Override
    public void setAttribute(Path path, String attribute, Object value, LinkOption... options) throws IOException {
        real.setAttribute(unwrap(path), attribute, value, options);
    }

    private static final class Disk extends FileSystem {
        private final FullDisk provider;
        private final FileSystem real;

        Disk(FullDisk provider, FileSystem real) {
            this.provider = provider;
            this.real = real;
        }

        @Override
        public FileSystemProvider provider() {
            return provider;
        }

        @Override
        public void close() throws IOException {
            real.close();
        }

        @Override
        public boolean isOpen() {
            return real.isOpen();
        }

        @Override
        public boolean isReadOnly() {
            return real.isReadOnly();
        }

        @Override
        public String getSeparator() {
            return real.getSeparator();
        }

        @Override
        public Iterable<Path> getRootDirectories() {
            return StreamSupport.stream(real.getRootDirectories().spliterator(), false).map(provider::wrap).toList();
        }

        @Override
        public Iterable<FileStore> getFileStores() {
            return real.getFileStores();
        }

        @Override
        public Set<String> supportedFileAttributeViews() {
            return real.supportedFileAttributeViews();
        }

        @Override
        public Path getPath(String first, String... more) {
            return provider.wrap(real.getPath(first, more));
        }

        @Override
        public PathMatcher getPathMatcher(String pattern) {
            PathMatcher m = real.getPathMatcher(pattern);
            return p -> m.matches(unwrap(p));
        }

        @Override
        public UserPrincipalLookupService getUserPrincipalLookupService() {
            return real.getUserPrincipalLookupService();
        }

        @Override
        public WatchService newWatchService() throws IOException {
            return real.newWatchService();
        }
    }

    private record Name(Disk disk, Path real) implements Path {
        private Path of(Path p) {
            return new Name(disk, p);
        }

        private @Nullable Path orNull(@Nullable Path p) {
            return p == null ? null : of(p);
        }

        @Override
        public FileSystem getFileSystem() {
            return disk;
        }

        @Override
        public boolean isAbsolute() {
            return real.isAbsolute();
        }

        @Override
        public @Nullable Path getRoot() {
            return orNull(real.getRoot());
        }

        @Override
        public @Nullable Path getFileName() {
            return orNull(real.getFileName());
        }

        @Override
        public @Nullable Path getParent() {
            return orNull(real.getParent());
        }

        @Override
        public int getNameCount() {
            return real.getNameCount();
        }

        @Override
        public Path getName(int index) {
            return of(real.getName(index));
        }

        @Override
        public Path subpath(int from, int to) {
            return of(real.subpath(from, to));
        }

        @Override
        public boolean startsWith(Path other) {
            return other instanceof Name n && real.startsWith(n.real);
        }

        @Override
        public boolean endsWith(Path other) {
            return other instanceof Name n && real.endsWith(n.real);
        }

        @Override
        public Path normalize() {
            return of(real.normalize());
        }

        @Override
        public Path resolve(Path other) {
            return of(real.resolve(unwrap(other)));
        }

        @Override
        public Path relativize(Path other) {
            return of(real.relativize(unwrap(other)));
        }

        @Override
        public URI toUri() {
            return real.toUri();
        }

        @Override
        public Path toAbsolutePath() {
            return of(real.toAbsolutePath());
        }

        @Override
        public Path toRealPath(LinkOption... options) throws IOException {
            return of(real.toRealPath(options));
        }

        @Override
        public java.io.File toFile() {
            return new java.io.File(toString());
        }

        @Override
        public WatchKey register(WatchService watcher, WatchEvent.Kind<?>[] events, WatchEvent.Modifier... modifiers)
                throws IOException {
            return real.register(watcher, events, modifiers);
        }

        @Override
        public int compareTo(Path other) {
            return real.compareTo(unwrap(other));
        }

        @Override
        public String toString() {
            return real.toString();
        }
    }

    private static final class Channel extends FileChannel {
        private final FileChannel real;

        Channel(FileChannel real) {
            this.real = real;
        }

        @Override
        public int read(ByteBuffer to) throws IOException {
            return real.read(to);
        }

        @Override
        public long read(ByteBuffer[] to, int from, int n) throws IOException {
            return real.read(to, from, n);
        }

        @Override
        public int read(ByteBuffer to, long at) throws IOException {
            return real.read(to, at);
        }

        /// As on a disk that fills while it is written: half of what does not fit is there.
        @Override
        public int write(ByteBuffer from) throws IOException {
            try {
                take();
            } catch (IOException e) {
                ByteBuffer half = from.duplicate();
                half.limit(half.position() + half.remaining() / 2);
                real.write(half);
                throw e;
            }
            return real.write(from);
        }

        @Override
        public long write(ByteBuffer[] from, int at, int n) throws IOException {
            take();
            return real.write(from, at, n);
        }

        @Override
        public int write(ByteBuffer from, long at) throws IOException {
            take();
            return real.write(from, at);
        }

        @Override
        public long position() throws IOException {
            return real.position();
        }

        @Override
        public FileChannel position(long to) throws IOException {
            real.position(to);
            return this;
        }

        @Override
        public long size() throws IOException {
            return real.size();
        }

        @Override
        public FileChannel truncate(long size) throws IOException {
            real.truncate(size);
            return this;
        }

        @Override
        public void force(boolean metadata) throws IOException {
            take();
            real.force(metadata);
        }

        @Override
        public long transferTo(long at, long n, WritableByteChannel to) throws IOException {
            return real.transferTo(at, n, to);
        }

        @Override
        public long transferFrom(ReadableByteChannel from, long at, long n) throws IOException {
            take();
            return real.transferFrom(from, at, n);
        }

        @Override
        public MappedByteBuffer map(MapMode mode, long at, long n) throws IOException {
            return real.map(mode, at, n);
        }

        @Override
        public MemorySegment map(MapMode mode, long at, long n, Arena arena) throws IOException {
            return real.map(mode, at, n, arena);
        }

        @Override
        public FileLock lock(long at, long n, boolean shared) throws IOException {
            return real.lock(at, n, shared);
        }

        @Override
        public @Nullable FileLock tryLock(long at, long n, boolean shared) throws IOException {
            return real.tryLock(at, n, shared);
        }

        @Override
        protected void implCloseChannel() throws IOException {
            real.close();
        }
    }
}
