package dev.gyre.trainer.hub;

import dev.gyre.model.files.Json;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;

/// Requests to the hub: redirects, repeats, time-outs, and what its refusals mean.
final class HubHttp implements AutoCloseable {
    private static final int REDIRECTS = 5;
    /// Failures in a row before we give up.
    static final int TRIES = 5;
    /// Longest wait that a `Retry-After` may ask for.
    private static final long LONGEST_WAIT = 300;
    private static final int LARGEST_LIST = 64 << 20;
    private static final Pattern RESET = Pattern.compile("r\\s*=\\s*0\\s*;\\s*t\\s*=\\s*(\\d+)");

    /// How long to wait.
    ///
    /// @param connect for a connection
    /// @param answer for the head of an answer
    /// @param silence for the next bytes of a body
    /// @param first before the first repeat; doubled for each further one
    record Pauses(Duration connect, Duration answer, Duration silence, Duration first) {
        static final Pauses USUAL =
                new Pauses(Duration.ofSeconds(15), Duration.ofSeconds(30), Duration.ofSeconds(60),
                        Duration.ofSeconds(1));

        Duration before(int repeat) {
            return first.multipliedBy(1L << Math.min(repeat, 4));
        }
    }

    private final HubSettings settings;
    private final Pauses pauses;
    private final HttpClient client;
    private final ScheduledExecutorService watch =
            Executors.newSingleThreadScheduledExecutor(Thread.ofPlatform().daemon().name("hub time-out").factory());

    HubHttp(HubSettings settings, Pauses pauses) {
        this.settings = settings;
        this.pauses = pauses;
        HttpClient.Builder b = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER).connectTimeout(pauses.connect);
        if (settings.proxies() != null)
            b.proxy(settings.proxies());
        client = b.build();
    }

    /// An answer of status 200 or 206.
    ///
    /// @param first headers of the first answer, which a redirect to another host does not repeat
    record Answer(int status, HttpHeaders headers, HttpHeaders first, InputStream body) {
    }

    /// Something that may succeed when it is tried again.
    static final class Passing extends IOException {
        private static final long serialVersionUID = 1L;
        /// Seconds to wait that the hub asked for; negative: it did not.
        final long after;
        /// Whether there was an answer.
        final boolean reached;

        Passing(String message, long after, @Nullable Throwable cause) {
            this(message, after, true, cause);
        }

        Passing(String message, long after, boolean reached, @Nullable Throwable cause) {
            super(message, cause);
            this.after = after;
            this.reached = reached;
        }
    }

    /// Waits before a repeat.
    ///
    /// @param repeat counted from 0
    /// @param say told why and how long
    void pause(Passing e, int repeat, java.util.function.Consumer<String> say) {
        Duration d = e.after >= 0 ? Duration.ofSeconds(e.after) : pauses.before(repeat);
        if (e.after > LONGEST_WAIT)
            throw new UncheckedIOException(e);
        say.accept(e.getMessage() + "; trying again in " + Math.max(1, d.toSeconds()) + " s");
        try {
            Thread.sleep(d);
        } catch (InterruptedException x) {
            Thread.currentThread().interrupt();
            throw new UncheckedIOException(e);
        }
    }

    /// JSON at an address of the hub, tried again where that may help.
    ///
    /// @param link gets the address of the next page, where there is one
    JsonNode json(HubName name, URI address, java.util.function.Consumer<URI> link,
            java.util.function.Consumer<String> say) {
        for (int i = 0;; i++)
            try {
                Answer a = get(name, address, 0);
                byte[] bytes;
                try (Guarded in = guard(a.body)) {
                    bytes = in.readNBytes(LARGEST_LIST);
                } catch (IOException e) {
                    throw new Passing(settings.host() + " broke off its answer (" + reason(e) + ")", -1, e);
                }
                next(a.headers).ifPresent(n -> link.accept(address.resolve(n)));
                return Json.MAPPER.readTree(bytes);
            } catch (JacksonException e) {
                throw new HubException(settings.host() + " answers with something that is no list of a model; is"
                        + " HF_ENDPOINT right?");
            } catch (Passing e) {
                // before anything has come, a user without a network should not wait for us to notice
                if (i + 1 == TRIES || !e.reached)
                    throw new UncheckedIOException(e);
                pause(e, i, say);
            }
    }

    private static java.util.Optional<String> next(HttpHeaders headers) {
        return headers.firstValue("link").map(l -> Pattern.compile("<([^>]+)>\\s*;\\s*rel=\"?next\"?").matcher(l))
                .filter(Matcher::find).map(m -> m.group(1));
    }

    /// One attempt.
    ///
    /// @param from first byte wanted
    /// @throws Passing if another may succeed
    /// @throws HubException if none will
    Answer get(HubName name, URI address, long from) throws Passing {
        URI at = address;
        HttpHeaders first = null;
        for (int i = 0; i <= REDIRECTS; i++) {
            HttpResponse<InputStream> r = send(at, from);
            first = first == null ? r.headers() : first;
            int status = r.statusCode();
            if (status == 200 || status == 206 || status == 416)
                return new Answer(status, r.headers(), first, r.body());
            close(r.body());
            if (!Set.of(301, 302, 303, 307, 308).contains(status))
                throw refused(name, status, r.headers());
            at = redirect(at, r.headers().firstValue("location").orElse(""));
        }
        throw new HubException(settings.host() + " redirects more than " + REDIRECTS + " times; is HF_ENDPOINT right?");
    }

    private HttpResponse<InputStream> send(URI at, long from) throws Passing {
        HttpRequest.Builder b = HttpRequest.newBuilder(at).timeout(pauses.answer).header("User-Agent", "gyre")
                .header("Accept-Encoding", "identity");
        String token = settings.token();
        if (token != null && isHub(at)) // other hosts get addresses that are signed
            b.header("Authorization", "Bearer " + token);
        if (from > 0)
            b.header("Range", "bytes=" + from + "-");
        try {
            return client.send(b.build(), HttpResponse.BodyHandlers.ofInputStream());
        } catch (IOException e) {
            throw new Passing("cannot reach " + at.getHost() + " (" + reason(e)
                    + "); check the network, HTTPS_PROXY, or HF_ENDPOINT", -1, false, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new UncheckedIOException(new IOException("interrupted", e));
        }
    }

    private boolean isHub(URI at) {
        URI hub = settings.endpoint();
        return Objects.equals(at.getScheme(), hub.getScheme()) && at.getHost().equalsIgnoreCase(hub.getHost())
                && at.getPort() == hub.getPort();
    }

    private URI redirect(URI from, String to) {
        try {
            URI at = from.resolve(URI.create(to));
            boolean safe = at.getHost() != null && ("https".equals(at.getScheme())
                    || "http".equals(at.getScheme()) && "http".equals(settings.endpoint().getScheme()));
            if (!to.isEmpty() && safe)
                return at;
        } catch (IllegalArgumentException e) {
            // said below
        }
        throw new HubException(from.getHost() + " redirects to an address that is not https; nothing was fetched from"
                + " there");
    }

    static String reason(@Nullable Throwable e) {
        return switch (e) {
            case HttpConnectTimeoutException _ -> "no connection in time";
            case HttpTimeoutException _ -> "no answer in time";
            case UnknownHostException _ -> "no such host";
            case ConnectException x when x.getCause() instanceof java.nio.channels.UnresolvedAddressException ->
                    "no such host";
            case ConnectException x when x.getMessage() == null -> "no connection";
            case null -> "for no reason that it names";
            case Throwable x when x.getMessage() == null -> x.getClass().getSimpleName();
            case Throwable x -> String.valueOf(x.getMessage()).lines().findFirst().orElse("");
        };
    }

    /// What a refusal means, as an exception to be thrown.
    private HubException refused(HubName name, int status, HttpHeaders headers) throws Passing {
        String code = headers.firstValue("x-error-code").orElse("");
        String host = settings.host();
        String page = settings.endpoint() + "/" + name.id();
        boolean known = settings.token() != null;
        if (status == 429 || status >= 500)
            throw again(status, headers);
        if (code.equals("GatedRepo"))
            return new HubException(name.id() + " is gated: accept its terms at " + page + ", then "
                    + (known ? "see that your token may read gated models (" : "set HF_TOKEN to a token of yours (")
                    + settings.endpoint() + "/settings/tokens)");
        if (code.equals("RevisionNotFound"))
            return new HubException(
                    name.id() + " has no revision '" + name.wanted() + "'; its branches and tags are at "
                            + page + "/tree/main");
        if (code.equals("EntryNotFound"))
            return new HubException(
                    host + " lists a file of " + name.id() + " that it does not have; try again later");
        if (status == 401 && known && !code.equals("RepoNotFound"))
            return new HubException(host + " does not accept your token (401); make a new one at "
                    + settings.endpoint() + "/settings/tokens, or unset HF_TOKEN for a public model");
        if (status == 401 || status == 404)
            return new HubException("no model " + name.id() + " at " + host + (known ? " that your token may read"
                    : " that anyone may read") + "; check the name"
                    + (known ? "" : ", or set HF_TOKEN if it is private"));
        if (status == 403)
            return new HubException(host + " forbids " + name.id() + " (403"
                    + headers.firstValue("x-error-message").map(m -> ": " + plain(m)).orElse("") + "); "
                    + (known ? "see at " + page + " what your token needs" : "set HF_TOKEN, if you have access"));
        return new HubException(host + " answers " + status + " to a question about " + name.id()
                + headers.firstValue("x-error-message").map(m -> " (" + plain(m) + ")").orElse("")
                + "; is HF_ENDPOINT right?");
    }

    private static String plain(String s) {
        String one = s.replaceAll("\\p{Cntrl}", " ").strip();
        return one.length() <= 160 ? one : one.substring(0, 160) + "...";
    }

    private Passing again(int status, HttpHeaders headers) {
        if (status != 429)
            return new Passing(settings.host() + " answers " + status + "; that passes, try later", -1, null);
        long wait = wait(headers);
        return new Passing(settings.host() + " has had too many requests (429)"
                + (wait > 0 ? " and asks to wait " + wait + " s" : "")
                + (settings.token() == null ? "; HF_TOKEN raises its limit" : "; try later"), wait, null);
    }

    private static long wait(HttpHeaders headers) {
        String after = headers.firstValue("retry-after").orElse("").strip();
        if (after.matches("\\d{1,9}"))
            return Long.parseLong(after);
        if (!after.isEmpty())
            try {
                Instant until = ZonedDateTime.parse(after, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
                return Math.max(0, Duration.between(Instant.now(), until).toSeconds() + 1);
            } catch (DateTimeException e) {
                // as if it were not there
            }
        Matcher m = RESET.matcher(headers.firstValue("ratelimit").orElse("").toLowerCase(Locale.ROOT));
        return m.find() && m.group(1).length() < 9 ? Long.parseLong(m.group(1)) : -1;
    }

    /// A body that ends with an error when it stays silent for too long.
    Guarded guard(InputStream body) {
        return new Guarded(body);
    }

    /// Closing the body is what ends a read that waits.
    final class Guarded extends java.io.FilterInputStream {
        private final AtomicLong last = new AtomicLong(System.nanoTime());
        private volatile boolean silent;
        private final java.util.concurrent.ScheduledFuture<?> watching;

        Guarded(InputStream body) {
            super(body);
            long each = Math.max(20, pauses.silence.toMillis() / 4);
            watching = watch.scheduleWithFixedDelay(() -> {
                if (System.nanoTime() - last.get() > pauses.silence.toNanos()) {
                    silent = true;
                    HubHttp.close(body);
                }
            }, each, each, TimeUnit.MILLISECONDS);
        }

        @Override
        public int read(byte[] b, int off, int len) throws IOException {
            try {
                int n = super.read(b, off, len);
                last.set(System.nanoTime());
                if (silent)
                    throw new IOException("closed");
                return n;
            } catch (IOException e) {
                throw silent ? new IOException("nothing came for " + pauses.silence.toSeconds() + " s", e) : e;
            }
        }

        @Override
        public void close() {
            watching.cancel(false);
            HubHttp.close(in);
        }
    }

    private static void close(InputStream in) {
        try {
            in.close();
        } catch (IOException e) {
            // nobody reads on
        }
    }

    @Override
    public void close() {
        watch.shutdownNow();
        client.shutdownNow();
    }
}
