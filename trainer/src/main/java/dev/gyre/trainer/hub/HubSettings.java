package dev.gyre.trainer.hub;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/// Where the hub and its cache are, from the environment variables that Python's tools obey.
///
/// @param endpoint address of the hub, without a slash at its end
/// @param cache folder that holds `models--ORG--NAME`
/// @param token that the hub knows the user by; null: none
/// @param offline whether the hub must not be asked
/// @param links whether snapshots may hold links to files rather than the files
/// @param proxies how to reach hosts
public record HubSettings(URI endpoint, Path cache, @Nullable String token, boolean offline, boolean links,
        ProxySelector proxies) {
    private static final Set<String> YES = Set.of("1", "ON", "YES", "TRUE");
    private static final int LONGEST_TOKEN = 4096;

    /// Those of this process.
    public static HubSettings system() {
        return of(n -> {
            String v = System.getenv(n);
            return v == null ? "" : v;
        }, Path.of(System.getProperty("user.home")));
    }

    /// @param env value of an environment variable, "" where there is none
    /// @param home the user's folder
    /// @throws HubException for a value that cannot be used
    public static HubSettings of(UnaryOperator<String> env, Path home) {
        Path hf = path(env, home, "HF_HOME");
        if (hf == null) {
            Path xdg = path(env, home, "XDG_CACHE_HOME");
            hf = (xdg == null ? home.resolve(".cache") : xdg).resolve("huggingface");
        }
        Path cache = path(env, home, "HF_HUB_CACHE");
        if (cache == null)
            cache = path(env, home, "HUGGINGFACE_HUB_CACHE");
        boolean offline = yes(env, "HF_HUB_OFFLINE") || yes(env, "TRANSFORMERS_OFFLINE");
        return new HubSettings(endpoint(env.apply("HF_ENDPOINT").strip()), cache == null ? hf.resolve("hub") : cache,
                token(env, home, hf), offline, !yes(env, "HF_HUB_DISABLE_SYMLINKS"), proxies(env));
    }

    private static boolean yes(UnaryOperator<String> env, String name) {
        return YES.contains(env.apply(name).strip().toUpperCase(Locale.ROOT));
    }

    private static @Nullable Path path(UnaryOperator<String> env, Path home, String name) {
        String v = env.apply(name).strip();
        return v.isEmpty() ? null
                : v.equals("~") ? home : v.startsWith("~/") ? home.resolve(v.substring(2)) : Path.of(v);
    }

    private static URI endpoint(String given) {
        String text = given.isEmpty() ? "https://huggingface.co" : given.replaceFirst("/+$", "");
        try {
            URI uri = URI.create(text);
            if (uri.getHost() != null && ("https".equals(uri.getScheme()) || "http".equals(uri.getScheme())))
                return uri;
        } catch (IllegalArgumentException e) {
            // said below
        }
        throw new HubException("HF_ENDPOINT=" + given + " is no address; write it as https://huggingface.co");
    }

    private static @Nullable String token(UnaryOperator<String> env, Path home, Path hf) {
        String token = env.apply("HF_TOKEN");
        String from = "HF_TOKEN";
        if (token.isBlank()) {
            token = env.apply("HUGGING_FACE_HUB_TOKEN");
            from = "HUGGING_FACE_HUB_TOKEN";
        }
        if (token.isBlank() && !yes(env, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
            Path given = path(env, home, "HF_TOKEN_PATH");
            Path file = given == null ? hf.resolve("token") : given;
            from = file.toString();
            token = read(file);
        }
        String t = token.replaceAll("[\\r\\n]", "").strip();
        if (!t.chars().allMatch(c -> c > ' ' && c < 127))
            throw new HubException(from + " holds what cannot be a token (spaces or characters other than ASCII);"
                    + " copy it again from huggingface.co/settings/tokens");
        return t.isEmpty() ? null : t;
    }

    private static String read(Path file) {
        try {
            return Files.isRegularFile(file) && Files.size(file) <= LONGEST_TOKEN ? Files.readString(file) : "";
        } catch (IOException e) {
            throw new HubException(file + ": cannot be read (" + e.getMessage() + "); correct it, or set HF_TOKEN");
        }
    }

    /// Java knows proxies by properties (`-Dhttps.proxyHost`), everything else by `HTTPS_PROXY` and `NO_PROXY`.
    private static ProxySelector proxies(UnaryOperator<String> env) {
        Proxy https = proxy(env, "https_proxy", "all_proxy");
        Proxy http = proxy(env, "http_proxy", "all_proxy");
        ProxySelector system = ProxySelector.getDefault();
        if (https.equals(Proxy.NO_PROXY) && http.equals(Proxy.NO_PROXY))
            return system;
        List<String> direct = new ArrayList<>();
        for (String host : either(env, "no_proxy").split(","))
            if (!host.isBlank())
                direct.add(host.strip().replaceFirst("^\\*?\\.", "").toLowerCase(Locale.ROOT));
        return new ProxySelector() {
            @Override
            public List<Proxy> select(URI uri) {
                List<Proxy> java = system == null ? List.of() : system.select(uri);
                if (java.stream().anyMatch(p -> p.type() != Proxy.Type.DIRECT))
                    return java;
                String host = uri.getHost().toLowerCase(Locale.ROOT);
                boolean near = direct.stream()
                        .anyMatch(d -> d.equals("*") || host.equals(d) || host.endsWith("." + d));
                return List.of(near ? Proxy.NO_PROXY : "https".equals(uri.getScheme()) ? https : http);
            }

            @Override
            public void connectFailed(URI uri, SocketAddress at, IOException e) {
                // the request fails with the reason
            }
        };
    }

    private static String either(UnaryOperator<String> env, String name) {
        String small = env.apply(name);
        return small.isBlank() ? env.apply(name.toUpperCase(Locale.ROOT)).strip() : small.strip();
    }

    private static Proxy proxy(UnaryOperator<String> env, String... names) {
        for (String name : names) {
            String v = either(env, name);
            if (v.isEmpty())
                continue;
            try {
                URI uri = URI.create(v.contains("://") ? v : "http://" + v);
                if (uri.getHost() != null && "http".equals(uri.getScheme()))
                    return new Proxy(Proxy.Type.HTTP, InetSocketAddress.createUnresolved(uri.getHost(),
                            uri.getPort() < 0 ? 80 : uri.getPort()));
            } catch (IllegalArgumentException e) {
                // said below, without the password that may be in it
            }
            throw new HubException(name.toUpperCase(Locale.ROOT)
                    + " is no address of an HTTP proxy; write it as http://host:port");
        }
        return Proxy.NO_PROXY;
    }

    /// What messages call the hub.
    String host() {
        return endpoint.getPort() < 0 ? endpoint.getHost() : endpoint.getHost() + ":" + endpoint.getPort();
    }
}
