package dev.gyre.trainer.cli;

import dev.gyre.trainer.bundle.Bundle;
import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre bundle`: Gyre with a Java runtime of its own, and the parts of a TornadoVM SDK that it needs, in one archive.
@Command(name = "bundle",
        description = "Write an archive that holds Gyre, a small Java runtime and, where TORNADOVM_HOME"
                + " names an SDK, what it needs of TornadoVM. Unpacked anywhere on Linux of the same processor, its ./gyre runs"
                + " without Java being installed.")
final class BundleCommand extends GyreCommand {
    @Option(names = "--out", required = true, paramLabel = "FILE", description = "The archive: .tar.xz or .tar.gz.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Override
    protected int run() throws IOException, InterruptedException {
        Bundle.Written w;
        try {
            w = Bundle.write(out, Home::find, System.getenv("TORNADOVM_HOME"), screen()::status);
        } finally {
            screen().done();
        }
        screen().result(
                "wrote " + out + " · " + Text.bytes(w.bytes()) + ", unpacked " + Text.bytes(w.unpacked()) + " · "
                        + (w.sdk() == null ? "without TornadoVM (TORNADOVM_HOME is not set)"
                                : "with the TornadoVM SDK at " + w.sdk()));
        screen().line("try it: tar xf " + out + " && gyre/gyre doctor");
        return ExitCode.OK;
    }
}
