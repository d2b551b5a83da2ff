package uk.ac.manchester.tornado.api.common;

/// Whether a task reads or writes an argument.
public enum Access {
    NONE, READ_ONLY, WRITE_ONLY, READ_WRITE
}
