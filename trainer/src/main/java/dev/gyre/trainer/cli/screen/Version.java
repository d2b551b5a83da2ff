package dev.gyre.trainer.cli.screen;

import picocli.CommandLine.IVersionProvider;

/// `gyre 0.1.0` and the JDK it runs on.
public final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
        return new String[] {"gyre " + number(),
            "JDK " + Runtime.version() + " (" + System.getProperty("java.vendor") + ")",
            System.getProperty("os.name") + " " + System.getProperty("os.arch")};
    }

    public static String number() {
        String v = Version.class.getPackage().getImplementationVersion();
        return v == null ? "development" : v;
    }

    /// Name by which Gyre was started, for commands that a user copies.
    public static String called() {
        return System.getProperty("gyre.called", "gyre");
    }
}
