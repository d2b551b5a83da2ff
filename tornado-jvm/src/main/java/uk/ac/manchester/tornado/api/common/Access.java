package uk.ac.manchester.tornado.api.common;

/// How a task touches an argument.
public enum Access {
    NONE, READ_ONLY, WRITE_ONLY, READ_WRITE
}
