import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Properties;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/// Prints the home of the Maven that maven-wrapper.properties names, and fetches it first where it is not there yet. Started
/// by mvnw and mvnw.cmd, so that they need neither curl nor unzip nor PowerShell, only a JDK.
public class FetchMaven {
    public static void main(String[] args) throws Exception {
        Properties wrapper = new Properties();
        try (InputStream in = Files.newInputStream(Path.of(args[0]))) {
            wrapper.load(in);
        }
        String url = wrapper.getProperty("distributionUrl");
        String sum = wrapper.getProperty("distributionSha256Sum");
        String file = url.substring(url.lastIndexOf('/') + 1);
        String name = file.replace("-bin.zip", "");
        Path home = Path.of(System.getProperty("user.home"), ".m2", "wrapper", "dists", name, sum);
        if (!Files.isDirectory(home)) {
            String repository = System.getenv("MVNW_REPOURL");
            if (repository != null && !repository.isBlank())
                url = repository.replaceAll("/+$", "") + "/org/apache/maven/apache-maven/"
                        + name.substring(name.lastIndexOf('-') + 1) + "/" + file;
            System.err.println("mvnw: fetching " + name + " ...");
            byte[] zip = fetch(url);
            String found = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(zip));
            if (!found.equals(sum))
                fail(url + " is not what .mvn/wrapper/maven-wrapper.properties names: its SHA-256 is " + found);
            unpack(zip, name, home);
        }
        System.out.println(home);
    }

    private static byte[] fetch(String url) {
        try (InputStream in = URI.create(url).toURL().openStream()) {
            return in.readAllBytes();
        } catch (IOException | IllegalArgumentException e) {
            throw fail("could not fetch " + url + " (" + e + "); install Maven, or let MVNW_REPOURL name a Maven"
                    + " repository that this machine reaches");
        }
    }

    /// Unpacks beside `home` and moves it there when all is written: another build may be doing the same.
    private static void unpack(byte[] zip, String name, Path home) throws IOException {
        Files.createDirectories(home.getParent());
        Path scratch = Files.createTempDirectory(home.getParent(), "part");
        try (ZipInputStream in = new ZipInputStream(new ByteArrayInputStream(zip))) {
            for (ZipEntry e = in.getNextEntry(); e != null; e = in.getNextEntry()) {
                Path to = scratch.resolve(e.getName()).normalize();
                if (!to.startsWith(scratch))
                    throw new IOException(e.getName() + " leads out of the archive");
                if (e.isDirectory()) {
                    Files.createDirectories(to);
                } else {
                    Files.createDirectories(to.getParent());
                    Files.copy(in, to);
                    if (to.getParent().endsWith("bin"))
                        to.toFile().setExecutable(true, false);
                }
            }
        }
        try {
            Files.move(scratch.resolve(name), home);
            Files.delete(scratch);
        } catch (FileAlreadyExistsException | DirectoryNotEmptyException e) {
            // the other build was faster
        }
    }

    private static Error fail(String what) {
        System.err.println("mvnw: " + what);
        System.exit(1);
        return new Error(what);
    }
}
