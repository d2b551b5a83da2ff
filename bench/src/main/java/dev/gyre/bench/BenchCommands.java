package dev.gyre.bench;

import dev.gyre.trainer.cli.CommandProvider;
import java.util.List;

/// Adds this module's commands to `gyre`.
public final class BenchCommands implements CommandProvider {
    @Override
    public List<Object> commands() {
        return List.of(new BenchCommand());
    }
}
