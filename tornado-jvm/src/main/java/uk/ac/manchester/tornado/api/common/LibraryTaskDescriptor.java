package uk.ac.manchester.tornado.api.common;

import org.jspecify.annotations.Nullable;

/// A call of a native library in place of a kernel: the library, its function, the arguments and whether each is read or written.
public class LibraryTaskDescriptor {
    private String library = "";
    private String function = "";
    private Object[] parameters = {};
    private Access[] access = {};
    private @Nullable Object tuning;

    public LibraryTaskDescriptor withLibrary(String libraryName) {
        library = libraryName;
        return this;
    }

    public LibraryTaskDescriptor withFunction(String functionName) {
        function = functionName;
        return this;
    }

    public LibraryTaskDescriptor withParameters(Object[] parameters) {
        this.parameters = parameters.clone();
        return this;
    }

    public LibraryTaskDescriptor withAccess(Access[] access) {
        this.access = access.clone();
        return this;
    }

    public LibraryTaskDescriptor withTuning(Object tuning) {
        this.tuning = tuning;
        return this;
    }

    public String getLibraryName() {
        return library;
    }

    public String getFunctionName() {
        return function;
    }

    public Object[] getParameters() {
        return parameters.clone();
    }

    public Access[] getAccess() {
        return access.clone();
    }

    public @Nullable Object getTuning() {
        return tuning;
    }
}
