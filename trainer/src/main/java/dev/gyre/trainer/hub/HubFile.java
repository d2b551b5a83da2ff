package dev.gyre.trainer.hub;

import java.util.regex.Pattern;
import java.util.stream.Stream;

/// A file of a model at one commit, as the hub lists it.
///
/// @param path relative, with slashes
/// @param size in bytes
/// @param etag what the cache calls its content: SHA-256 of a large file, else git's SHA-1
record HubFile(String path, long size, String etag) {
    private static final Pattern ETAG = Pattern.compile("[0-9a-f]{40}|[0-9a-f]{64}");

    /// Names come from the hub and become files of ours.
    ///
    /// @throws HubException if it is not a plain relative path, or has no hash
    HubFile {
        boolean plain = !path.isEmpty() && path.length() <= 512 && path.indexOf('\\') < 0 && path.indexOf(':') < 0
                && path.chars().noneMatch(c -> c < ' ' || c == 127)
                && Stream.of(path.split("/", -1))
                        .noneMatch(p -> p.isEmpty() || p.equals(".") || p.equals("..") || p.endsWith(" "));
        if (!plain)
            throw new HubException("the hub lists a file '" + visible(path)
                    + "', which is no plain relative name; nothing was downloaded");
        if (size < 0 || !ETAG.matcher(etag).matches())
            throw new HubException("the hub lists '" + path + "' without a size or a hash; nothing was downloaded");
    }

    boolean isLarge() {
        return etag.length() == 64;
    }

    private static String visible(String s) {
        String one = s.replaceAll("\\p{Cntrl}", "?");
        return one.length() <= 80 ? one : one.substring(0, 80) + "...";
    }
}
