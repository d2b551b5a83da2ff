package dev.gyre.model.adapter;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

public record Targets(@Nullable List<String> names) {
    public static Targets names(String... names) {
        return new Targets(List.of(names));
    }

    List<Modules.Info> on(Modules model) {
        List<Modules.Info> out = new ArrayList<>();
        for (Modules.Info i : model.linears())
            for (String n : names == null ? List.of("q_proj", "v_proj") : names)
                if (i.path().equals(n) || i.path().endsWith("." + n)) {
                    out.add(i);
                    break;
                }
        return out;
    }
}
