package dev.gyre.trainer.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Downloads from a hub on this machine, and everything that can go wrong.
class HubDownloadTest {
    private static final HubName NAME = HubName.require(FakeHub.ID);

    @TempDir
    Path dir;
    private final FakeHub hub = new FakeHub();
    private final List<String> told = new ArrayList<>();

    @AfterEach
    void stop() {
        hub.close();
    }

    private Path cache() {
        return dir.resolve("cache");
    }

    private Path model() {
        return cache().resolve("models--org--tiny-model");
    }

    private Path fetch(HubSettings s, HubName name) {
        try (HubDownload d = hub.download(s)) {
            return d.fetch(d.list(name));
        }
    }

    private Path fetch() {
        return fetch(hub.settings(cache()), NAME);
    }

    private void fails(Class<? extends Throwable> kind, String message) {
        assertThatThrownBy(this::fetch).isInstanceOf(kind).message().contains(message).doesNotContain("\n");
        assertThat(HubName.of(FakeHub.ID)).isNotNull();
        assertThat(new HubCache(cache(), true).find(NAME)).as("nothing counts as here").isNull();
    }

    private List<String> all(Path root) throws IOException {
        try (Stream<Path> s = Files.walk(root)) {
            return s.filter(p -> !Files.isDirectory(p, LinkOption.NOFOLLOW_LINKS))
                    .map(p -> root.relativize(p).toString().replace('\\', '/')).sorted().toList();
        }
    }

    @Test
    void theCacheIsWhatPythonsToolsWrite() throws IOException {
        hub.usual();
        Path at = fetch();
        assertThat(at).isEqualTo(model().resolve("snapshots").resolve(FakeHub.COMMIT));
        String weights = FakeHub.hash(hub.files.get("model.safetensors"));
        String config = FakeHub.hash(hub.files.get("config.json"));
        String tokenizer = FakeHub.hash(hub.files.get("tokenizer.json"));
        assertThat(all(model())).containsExactlyInAnyOrder("blobs/" + weights, "blobs/" + config,
                "blobs/" + tokenizer, "refs/main", "snapshots/" + FakeHub.COMMIT + "/config.json",
                "snapshots/" + FakeHub.COMMIT + "/tokenizer.json",
                "snapshots/" + FakeHub.COMMIT + "/model.safetensors");
        assertThat(Files.readSymbolicLink(at.resolve("model.safetensors"))).hasToString("../../blobs/" + weights);
        assertThat(model().resolve("refs/main")).hasContent(FakeHub.COMMIT);
        assertThat(at.resolve("model.safetensors")).hasBinaryContent(hub.files.get("model.safetensors"));
        // a second time nothing is fetched but the list
        hub.requests.clear();
        assertThat(fetch()).isEqualTo(at);
        assertThat(hub.requests).hasSize(2).allMatch(r -> r.startsWith("/api/"));
    }

    @Test
    void shardsAdaptersAndFoldersOfModules() throws IOException {
        hub.file("config.json", "{}").file("tokenizer.json", "{}").file("model.safetensors.index.json",
                "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"model-00002-of-00002.safetensors\"}}")
                .file("model-00001-of-00002.safetensors", new byte[2000])
                .file("model-00002-of-00002.safetensors", new byte[2001])
                .file("consolidated.safetensors", new byte[4000]).file("1_Pooling/config.json", "{}")
                .file("pytorch_model.bin.index.json", "{}").file("LICENSE.txt", "do");
        Path at = fetch();
        assertThat(all(at)).containsExactly("1_Pooling/config.json", "LICENSE.txt", "config.json",
                "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                "model.safetensors.index.json", "tokenizer.json");
        assertThat(at.resolve("1_Pooling/config.json").toRealPath()).hasContent("{}");

        hub.files.clear();
        hub.commit = "1".repeat(40);
        hub.file("adapter_config.json", "{}").file("adapter_model.safetensors", new byte[1500]);
        assertThat(all(fetch())).containsExactly("adapter_config.json", "adapter_model.safetensors");
        assertThat(model().resolve("refs/main")).hasContent("1".repeat(40));
    }

    @Test
    void aRepositoryWithoutAShardThatItsIndexNamesIsNotTaken() {
        hub.file("config.json", "{}").file("tokenizer.json", "{}")
                .file("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"model-00002-of-00002.safetensors\"}}")
                .file("model-00001-of-00002.safetensors", new byte[2000]);
        fails(HubException.class, "lacks model-00002-of-00002.safetensors");
    }

    @Test
    void weightsInOtherFormsAreNamed() {
        hub.file("config.json", "{}").file("model-Q4_K_M.gguf", new byte[10]);
        fails(HubException.class,
                "has no safetensors, but GGUF files; name the one to use: org/tiny-model/model-Q4_K_M.gguf");
    }

    @Test
    void oneGgufFileIsTakenByItsName() throws IOException {
        hub.file("README.md", "x").file("a-Q8_0.gguf", new byte[3000]).file("a-Q4_0.gguf", new byte[2000]);
        HubName.GgufName name =
                Objects.requireNonNull(
                        HubName.GgufName.of("https://huggingface.co/org/tiny-model/blob/main/a-Q4_0.gguf"));
        assertThat(name.file()).isEqualTo("a-Q4_0.gguf");
        assertThat(HubName.GgufName.of("org/tiny-model/a-Q4_0.gguf")).isNotNull();
        assertThat(HubName.GgufName.of("org/a-Q4_0.gguf")).isNull();
        assertThat(HubName.GgufName.of("org/tiny-model/../a.gguf")).isNull();
        try (HubDownload d = hub.download(hub.settings(cache()))) {
            assertThat(d.fetch(d.list(NAME, "a-Q4_0.gguf")).resolve("a-Q4_0.gguf")).hasSize(2000);
            assertThatThrownBy(() -> d.list(NAME, "b.gguf")).isInstanceOf(HubException.class)
                    .hasMessageContaining("has no file b.gguf");
        }
        HubCache c = new HubCache(cache(), true);
        assertThat(c.file(NAME, "a-Q4_0.gguf")).hasSize(2000);
        assertThat(c.file(NAME, "a-Q8_0.gguf")).isNull();
        assertThat(c.find(NAME)).as("no whole model").isNull();
    }

    @Test
    void aListMayHavePages() {
        hub.usual();
        hub.page = 2;
        assertThat(fetch().resolve("model.safetensors")).exists();
        assertThat(hub.requests.stream().filter(r -> r.contains("/tree/"))).hasSize(3);
    }

    @Test
    void aRevisionIsABranchATagOrACommit() {
        hub.usual();
        HubCache c = new HubCache(cache(), true);
        Path at = fetch(hub.settings(cache()), NAME.at("v1"));
        assertThat(c.find(NAME.at("v1"))).isEqualTo(at);
        assertThat(c.find(NAME)).isNull();
        assertThat(c.find(NAME.at(FakeHub.COMMIT))).isEqualTo(at);
        fetch(hub.settings(cache()), NAME.at("refs/pr/2"));
        assertThat(hub.requests).anyMatch(r -> r.contains("/revision/refs%2Fpr%2F2"));
        assertThat(c.find(NAME.at("refs/pr/2"))).isEqualTo(at);
        fetch(hub.settings(cache()), NAME.at(FakeHub.COMMIT));
        assertThat(model().resolve("refs").resolve(FakeHub.COMMIT)).doesNotExist();
        assertThatThrownBy(() -> fetch(hub.settings(cache()), NAME.at("v9"))).isInstanceOf(HubException.class)
                .hasMessageContaining("org/tiny-model has no revision 'v9'; its branches and tags are at http");
    }

    @Test
    void theTokenGoesToTheHubAndNowhereElse() {
        hub.usual();
        fetch(hub.settings(cache(), "hf_secret", true), NAME);
        assertThat(hub.requests).anyMatch(r -> r.startsWith("storage"));
        for (String r : hub.requests)
            assertThat(r.endsWith("Bearer hf_secret")).as(r).isEqualTo(!r.startsWith("storage"));
    }

    @Test
    void whoMayNotReadIsToldWhatToDo() {
        hub.usual();
        assertThatThrownBy(() -> fetch(hub.settings(cache()), HubName.require("org/other")))
                .hasMessageContaining("no model org/other at localhost").hasMessageContaining("set HF_TOKEN");
        assertThatThrownBy(() -> fetch(hub.settings(cache(), "hf_x", true), HubName.require("org/other")))
                .hasMessageContaining("no model org/other at localhost")
                .hasMessageContaining("that your token may read")
                .hasMessageNotContaining("hf_x");
        hub.trouble = r -> {
            r.status(401, "X-Error-Message", "Invalid credentials in Authorization header");
            return true;
        };
        assertThatThrownBy(() -> fetch(hub.settings(cache(), "hf_x", true), NAME))
                .hasMessageContaining("does not accept your token (401)").hasMessageNotContaining("hf_x");
        // a gated model's list is public, its files are not
        for (int status : List.of(401, 403)) {
            hub.trouble = r -> {
                if (r.isFile())
                    r.status(status, "X-Error-Code", "GatedRepo");
                return r.isFile();
            };
            fails(HubException.class, "org/tiny-model is gated: accept its terms at " + hub.endpoint()
                    + "/org/tiny-model, then set HF_TOKEN to a token of yours");
            assertThatThrownBy(() -> fetch(hub.settings(cache(), "hf_x", true), NAME))
                    .hasMessageContaining("see that your token may read gated models");
        }
        hub.trouble = r -> {
            r.status(403, "X-Error-Message", "this token has no rights");
            return true;
        };
        fails(HubException.class, "forbids org/tiny-model (403: this token has no rights)");
        hub.trouble = r -> {
            r.status(404);
            return true;
        };
        fails(HubException.class, "no model org/tiny-model at localhost");
        hub.trouble = r -> {
            r.status(418);
            return true;
        };
        fails(HubException.class, "answers 418");
    }

    @Test
    void tooManyRequestsAreWaitedForAsAsked() {
        hub.usual();
        Set<String> once = ConcurrentHashMap.newKeySet();
        hub.trouble = r -> {
            boolean first = once.add(r.path());
            if (first)
                r.status(429, "Retry-After", "1");
            return first;
        };
        long begun = System.nanoTime();
        assertThat(fetch().resolve("model.safetensors")).exists();
        assertThat(System.nanoTime() - begun).isGreaterThan(3_000_000_000L);
    }

    @Test
    void aWaitThatIsTooLongIsRefused() {
        hub.usual();
        hub.trouble = r -> {
            r.status(429, "Retry-After", "3600");
            return true;
        };
        fails(UncheckedIOException.class, "has had too many requests (429) and asks to wait 3600 s; HF_TOKEN raises");
        hub.trouble = r -> {
            r.status(429, "RateLimit", "\"api\";r=0;t=1234");
            return true;
        };
        fails(UncheckedIOException.class, "asks to wait 1234 s");
        hub.trouble = r -> {
            r.status(429, "Retry-After", "Tue, 01 Jan 2999 00:00:00 GMT");
            return true;
        };
        fails(UncheckedIOException.class, "asks to wait");
    }

    @Test
    void errorsOfTheServerAreTriedAgainFiveTimes() {
        hub.usual();
        AtomicInteger n = new AtomicInteger();
        hub.trouble = r -> {
            boolean bad = r.path().contains("/revision/") && n.incrementAndGet() < 5;
            if (bad)
                r.status(List.of(500, 502, 503, 504).get(n.get() - 1));
            return bad;
        };
        assertThat(fetch()).exists();
        hub.requests.clear();
        hub.trouble = r -> {
            r.status(503);
            return true;
        };
        // what is in the cache does not hide that the hub fails
        assertThatThrownBy(this::fetch).isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("answers 503; that passes, try later");
        assertThat(hub.requests).hasSize(5);
    }

    @Test
    void aTransferThatBreaksGoesOnWhereItBroke() throws IOException {
        hub.usual();
        byte[] weights = hub.files.get("model.safetensors");
        hub.trouble = r -> {
            if (!r.storage())
                return false;
            String range = r.exchange().getRequestHeaders().getFirst("Range");
            int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
            int to = Math.min(weights.length, from + 100_000);
            if (from > 0)
                r.exchange().getResponseHeaders().add("Content-Range",
                        "bytes " + from + "-" + (weights.length - 1) + "/" + weights.length);
            // promises all, sends a part
            r.exchange().sendResponseHeaders(from > 0 ? 206 : 200, weights.length - from);
            r.exchange().getResponseBody().write(weights, from, to - from);
            r.exchange().getResponseBody().flush();
            return true;
        };
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        assertThat(hub.requests.stream().filter(r -> r.startsWith("storage")).toList())
                .hasSizeBetween(3, 6).element(1).asString().contains(" bytes=");
    }

    @Test
    void aKilledDownloadGoesOnInTheNextProcess() throws IOException {
        hub.usual();
        byte[] weights = hub.files.get("model.safetensors");
        String etag = FakeHub.hash(weights);
        hub.trouble = r -> {
            if (r.storage())
                r.status(503);
            return r.storage();
        };
        fails(UncheckedIOException.class, "answers 503");
        hub.trouble = _ -> false;
        Path part = model().resolve("blobs").resolve(etag + ".gyre.incomplete");
        Files.write(part, Arrays.copyOf(weights, 123_456));
        try (HubDownload d = hub.download(hub.settings(cache()))) {
            assertThat(d.list(NAME).rest()).isEqualTo(weights.length - 123_456);
        }
        hub.requests.clear();
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        assertThat(hub.requests).filteredOn(r -> r.startsWith("storage")).singleElement().asString()
                .contains("bytes=123456-");
        assertThat(part).doesNotExist();
    }

    @Test
    void whatWasThereFromBeforeAndIsWrongIsFetchedAnew() throws IOException {
        hub.usual();
        byte[] weights = hub.files.get("model.safetensors");
        Path blobs = Files.createDirectories(model().resolve("blobs"));
        Path part = blobs.resolve(FakeHub.hash(weights) + ".gyre.incomplete");
        Files.write(part, new byte[1000]);
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        // longer than the file
        Files.delete(blobs.resolve(FakeHub.hash(weights)));
        Files.write(part, new byte[weights.length + 1]);
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        // as long as the file: nothing is left to ask for
        Files.delete(blobs.resolve(FakeHub.hash(weights)));
        Files.write(part, new byte[weights.length]);
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
    }

    @Test
    void aStorageWithoutRangesSendsTheWholeAgain() throws IOException {
        hub.usual();
        byte[] weights = hub.files.get("model.safetensors");
        Path blobs = Files.createDirectories(model().resolve("blobs"));
        Files.write(blobs.resolve(FakeHub.hash(weights) + ".gyre.incomplete"), Arrays.copyOf(weights, 5000));
        hub.trouble = r -> {
            if (r.storage())
                FakeHub.content(r.exchange(), weights, null);
            return r.storage();
        };
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        // and one that says that there is no such range
        Files.delete(blobs.resolve(FakeHub.hash(weights)));
        Files.write(blobs.resolve(FakeHub.hash(weights) + ".gyre.incomplete"), Arrays.copyOf(weights, 5000));
        hub.trouble = r -> {
            boolean no = r.storage() && r.exchange().getRequestHeaders().getFirst("Range") != null;
            if (no)
                r.status(416);
            return no;
        };
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.safetensors", "config.json"})
    void contentOfAnotherHashIsNotKept(String name) throws IOException {
        hub.usual();
        byte[] wrong = hub.files.get(name).clone();
        wrong[wrong.length / 2] ^= 1;
        hub.trouble = r -> {
            boolean it =
                    r.storage() && name.equals("model.safetensors") || r.path().endsWith("/" + name) && !r.storage()
                            && name.equals("config.json");
            if (it)
                FakeHub.content(r.exchange(), wrong, null);
            return it;
        };
        fails(UncheckedIOException.class, "sent as " + name + " is not what it lists (wrong hash)");
        assertThat(all(model().resolve("blobs"))).noneMatch(f -> f.startsWith(FakeHub.hash(hub.files.get(name))));
    }

    @Test
    void aHubThatContradictsItselfIsNotBelieved() {
        hub.usual();
        hub.trouble = r -> {
            if (r.path().endsWith("/resolve/" + FakeHub.COMMIT + "/model.safetensors"))
                r.exchange().getResponseHeaders().add("X-Linked-Etag", "\"" + "a".repeat(64) + "\"");
            return false;
        };
        fails(HubException.class, "lists model.safetensors with another hash or size than it sends");
    }

    @Test
    void aServerThatFallsSilentIsGivenUpAndAskedAgain() throws IOException {
        hub.usual();
        byte[] weights = hub.files.get("model.safetensors");
        AtomicInteger n = new AtomicInteger();
        hub.trouble = r -> {
            if (!r.storage() || n.incrementAndGet() > 1)
                return false;
            r.exchange().sendResponseHeaders(200, weights.length);
            r.exchange().getResponseBody().write(weights, 0, 5000);
            r.exchange().getResponseBody().flush();
            try {
                Thread.sleep(4000);
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return true;
        };
        long begun = System.nanoTime();
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(weights);
        assertThat(System.nanoTime() - begun).as("it does not wait for the server").isLessThan(3_500_000_000L);
        assertThat(hub.requests).filteredOn(r -> r.startsWith("storage")).element(1).asString().contains("bytes=");
    }

    @Test
    void aHubThatCannotBeReached() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        HubSettings s = hub.settings(cache());
        HubSettings gone = new HubSettings(URI.create("http://localhost:" + port), s.cache(), null, false, true,
                s.proxies());
        assertThatThrownBy(() -> fetch(gone, NAME)).isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("cannot reach localhost (").hasMessageContaining("HTTPS_PROXY");
        HubSettings offline = new HubSettings(s.endpoint(), s.cache(), null, true, true, s.proxies());
        assertThatThrownBy(() -> fetch(offline, NAME)).isInstanceOf(HubException.class)
                .hasMessageContaining("HF_HUB_OFFLINE is set, and org/tiny-model is not in the cache");
        assertThat(hub.requests).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"ftp://localhost/x", "file:///etc/passwd", "", "http:///x"})
    void redirectsGoToHttpOnly(String to) {
        hub.usual();
        hub.trouble = r -> {
            boolean it = r.path().endsWith("/model.safetensors") && !r.storage();
            if (it)
                r.status(302, "Location", to);
            return it;
        };
        fails(HubException.class, "redirects to an address that is not https");
    }

    @Test
    void redirectsInACircleEnd() {
        hub.usual();
        hub.trouble = r -> {
            r.status(307, "Location", r.path());
            return true;
        };
        fails(HubException.class, "redirects more than 5 times");
    }

    @Test
    void aRenamedModelIsFollowed() {
        hub.usual();
        hub.trouble = r -> {
            boolean old = r.path().contains("org/old-name");
            if (old)
                r.status(307, "Location", r.path().replace("org/old-name", FakeHub.ID));
            return old;
        };
        Path at = fetch(hub.settings(cache(), "hf_x", true), HubName.require("org/old-name"));
        assertThat(at.toString()).contains("models--org--old-name");
        assertThat(at.resolve("model.safetensors")).exists();
    }

    @Test
    void aFullDiskIsSeenBeforeAndWhileWriting() throws IOException {
        hub.usual();
        try (HubDownload d = new HubDownload(hub.settings(cache()), HubHttp.Pauses.USUAL, _ -> 1_000_000,
                new HubDownload.Listener() {
                })) {
            HubDownload.Listing l = d.list(NAME);
            assertThatThrownBy(() -> d.fetch(l)).isInstanceOf(UncheckedIOException.class)
                    .hasMessageContaining("0.00 GB are still to come and 0.00 GB are free there; make room");
        }
        assertThat(hub.requests).allMatch(r -> r.startsWith("/api/"));
        if (Files.exists(Path.of("/dev/full"))) {
            // every write to this device fails as on a full disk
            Path blobs = model().resolve("blobs");
            Files.createSymbolicLink(
                    blobs.resolve(FakeHub.hash(hub.files.get("model.safetensors")) + ".gyre.incomplete"),
                    Path.of("/dev/full"));
            fails(UncheckedIOException.class, "No space left on device");
        }
    }

    @Test
    void withoutLinksTheFilesThemselvesAreInTheSnapshot() throws IOException {
        hub.usual();
        HubSettings s = hub.settings(cache(), null, false);
        Path at = fetch(s, NAME);
        assertThat(Files.isSymbolicLink(at.resolve("model.safetensors"))).isFalse();
        assertThat(at.resolve("model.safetensors")).hasBinaryContent(hub.files.get("model.safetensors"));
        assertThat(all(model().resolve("blobs"))).isEmpty();
        hub.requests.clear();
        fetch(s, NAME);
        assertThat(hub.requests).hasSize(2);
    }

    @Test
    void aLinkToWhatIsGoneIsMended() throws IOException {
        hub.usual();
        Path at = fetch();
        Files.delete(at.resolve("model.safetensors").toRealPath());
        assertThat(new HubCache(cache(), true).find(NAME)).isNull();
        assertThat(fetch().resolve("model.safetensors")).hasBinaryContent(hub.files.get("model.safetensors"));
    }

    @Test
    void severalProcessesFetchAFileOnce() throws Exception {
        hub.usual();
        try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
            List<Future<Path>> all = new ArrayList<>();
            for (int i = 0; i < 3; i++)
                all.add(threads.submit(() -> fetch()));
            for (Future<Path> f : all)
                assertThat(f.get().resolve("model.safetensors"))
                        .hasBinaryContent(hub.files.get("model.safetensors"));
        }
        assertThat(hub.requests).filteredOn(r -> r.startsWith("storage")).hasSize(1);
    }

    @Test
    void whoWaitsForAnotherProcessIsTold() throws Exception {
        hub.usual();
        Path locks = Files.createDirectories(cache().resolve(".locks/models--org--tiny-model"));
        try (FileChannel c = locked(locks, "model.safetensors")) {
            HubDownload.Listener listener = new HubDownload.Listener() {
                @Override
                public void waiting(String why) {
                    told.add(why);
                    try {
                        c.close();
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }
            };
            try (HubDownload d = new HubDownload(hub.settings(cache()), listener)) {
                assertThat(d.fetch(d.list(NAME)).resolve("model.safetensors")).exists();
            }
        }
        assertThat(told).contains("another process fetches model.safetensors; waiting for it");
    }

    @Test
    @Timeout(60)
    void aFileThatGoesOnDoesNotHideThatAnotherWaits() throws Exception {
        hub.usual();
        Path locks = Files.createDirectories(cache().resolve(".locks/models--org--tiny-model"));
        String weights = "another process fetches model.safetensors; waiting for it";
        try (FileChannel first = locked(locks, "tokenizer.json");
                FileChannel second = locked(locks, "model.safetensors")) {
            HubDownload.Listener listener = new HubDownload.Listener() {
                @Override
                public void waiting(String why) {
                    try {
                        first.close();
                        boolean gone = Files.exists(model().resolve("snapshots/" + FakeHub.COMMIT + "/tokenizer.json"));
                        if (gone && why.equals(weights)) {
                            told.add(why);
                            second.close();
                        }
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }
            };
            try (HubDownload d = new HubDownload(hub.settings(cache()), listener)) {
                assertThat(d.fetch(d.list(NAME)).resolve("model.safetensors")).exists();
            }
        }
        assertThat(told).containsExactly(weights);
    }

    private FileChannel locked(Path locks, String file) throws IOException {
        FileChannel c = FileChannel.open(locks.resolve(FakeHub.hash(hub.files.get(file)) + ".lock"),
                StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        c.lock();
        return c;
    }

    @ParameterizedTest
    @ValueSource(strings = {"../evil.json", "/etc/evil.json", "a//b.json", "a/../../evil.json", "a\\\\..\\\\b.json",
        "C:evil.json", "evil\\u0007.json", "./evil.json", "a/b /c.json"})
    void namesThatLeadElsewhereAreRefused(String name) throws IOException {
        hub.usual().file(name.replace("\\\\", "\\"), "{}");
        fails(HubException.class, "which is no plain relative name; nothing was downloaded");
        assertThat(cache()).doesNotExist();
        assertThat(all(dir)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"<html>", "[]", "{\"sha\": \"../../x\"}", "{}", "{\"sha\": 5}"})
    void anAnswerThatIsNoModel(String answer) {
        hub.usual();
        hub.trouble = r -> {
            boolean it = r.path().contains("/revision/");
            if (it) {
                r.exchange().sendResponseHeaders(200, answer.length());
                r.exchange().getResponseBody().write(answer.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            }
            return it;
        };
        fails(HubException.class, "is HF_ENDPOINT right?");
    }
}
