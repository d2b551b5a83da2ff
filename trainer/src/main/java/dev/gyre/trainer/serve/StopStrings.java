package dev.gyre.trainer.serve;

import java.util.List;

/// Ends a text before the first of some strings; holds back what may be the beginning of one.
final class StopStrings {
    private final List<String> stops;
    private final StringBuilder waiting = new StringBuilder();
    private boolean hit;

    StopStrings(List<String> stops) {
        this.stops = stops;
    }

    /// Adds a piece and returns the text that is certain by now.
    String add(String piece) {
        if (hit)
            return "";
        waiting.append(piece);
        int first = -1;
        for (String s : stops) {
            int at = waiting.indexOf(s);
            if (at >= 0 && (first < 0 || at < first))
                first = at;
        }
        if (first >= 0) {
            hit = true;
            return take(first);
        }
        int keep = 0;
        for (String s : stops)
            for (int n = Math.min(s.length() - 1, waiting.length()); n > keep; n--)
                if (s.startsWith(waiting.substring(waiting.length() - n)))
                    keep = n;
        return take(waiting.length() - keep);
    }

    private String take(int n) {
        String text = waiting.substring(0, n);
        waiting.delete(0, n);
        return text;
    }

    /// Whether one of the strings has come.
    boolean hit() {
        return hit;
    }

    /// What is left when no more comes.
    String finish() {
        return hit ? "" : take(waiting.length());
    }
}
