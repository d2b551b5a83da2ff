package dev.gyre.trainer.cli;

import picocli.CommandLine.IVersionProvider;

/// `gyre 0.1.0` and the JDK it runs on.
public final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
        return new String[] {"gyre " + number(),
            "JDK " + Runtime.version() + " (" + System.getProperty("java.vendor") + ")",
            System.getProperty("os.name") + " " + System.getProperty("os.arch")};
    }

    static String number() {
        String v = Version.class.getPackage().getImplementationVersion();
        return v == null ? "development" : v;
    }
}
