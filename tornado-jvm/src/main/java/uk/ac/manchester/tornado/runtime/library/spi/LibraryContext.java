package uk.ac.manchester.tornado.runtime.library.spi;

/// What a provider keeps for a device and an execution plan, such as a handle of its library.
public interface LibraryContext {
}
