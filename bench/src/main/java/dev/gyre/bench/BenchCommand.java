package dev.gyre.bench;

import dev.gyre.trainer.cli.GyreCommand;
import dev.gyre.trainer.cli.UsageException;
import picocli.CommandLine.Command;

/// `gyre bench`: measurements anyone can repeat.
@Command(name = "bench",
        description = "Measure training steps, single operations, workers and decoding on this machine.",
        subcommands = {StepCommand.class, OpsCommand.class, HeadlineCommand.class, ScaleCommand.class,
            DecodeCommand.class})
final class BenchCommand extends GyreCommand {
    @Override
    protected int run() {
        throw new UsageException(
                "say what to measure: gyre bench step, ops, headline, scale or decode (see gyre bench --help)");
    }
}
