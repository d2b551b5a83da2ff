package dev.gyre.trainer.serve;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Adapter;
import dev.gyre.model.adapter.AdapterOptions;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.hra.Hra;
import dev.gyre.model.adapter.lora.Lora;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.model.emit.Tensor;
import dev.gyre.model.token.ChatTemplate.Message;
import dev.gyre.model.token.StreamDecoder;
import dev.gyre.model.transformer.Decoder;
import dev.gyre.model.transformer.Generator;
import dev.gyre.model.transformer.Sampler;
import dev.gyre.model.transformer.Transformer;
import dev.gyre.trainer.data.ModelText;
import dev.gyre.trainer.measure.ModelRef;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/// The model of this repository with a chat template and four adapters, served.
final class ServeFixture implements AutoCloseable {
    static final Path BASE = Path.of("../examples/small-llama");
    static final List<String> NAMES = List.of("base", "oft", "lora", "hra", "oft-16");
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    final Path dir;
    final Served served;
    final ApiServer server;

    ServeFixture(Path dir, ServeOptions options) throws IOException {
        this.dir = dir;
        copy(dir);
        Transformer base = new ModelRef(dir, List.of()).load();
        List<Transformer> models = new ArrayList<>(List.of(base));
        List<AdapterOptions> methods = List.of(Oft.of(Targets.allLinear(), 8),
                Lora.of(Targets.allLinear(), 4, 8), Hra.of(Targets.allLinear(), 4),
                Oft.of(Targets.allLinear(), 16));
        for (int i = 0; i < methods.size(); i++)
            models.add(adapted(base, methods.get(i), i));
        this.served = new Served(NAMES, models, ModelText.load(dir));
        this.server = ApiServer.open(ApiServer.take(options), served, new CpuBackend(2));
    }

    static void copy(Path dir) throws IOException {
        try (Stream<Path> files = Files.list(BASE)) {
            for (Path f : files.toList())
                Files.copy(f, dir.resolve(f.getFileName().toString()));
        }
        Files.writeString(dir.resolve("chat_template.jinja"),
                "{% for m in messages %}{{ m['role'][0] }} {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}a {% endif %}");
    }

    private static Transformer adapted(Transformer base, AdapterOptions options, int seed) {
        Transformer m = base.bare();
        Adapter a = Adapter.create(options, m, seed);
        Random random = new Random(seed);
        for (Tensor t : a.tensors())
            for (int i = 0; i < t.size(); i++)
                t.values()[i] += (float) (0.05 * random.nextGaussian());
        m.attach(a);
        return m;
    }

    /// What `gyre generate` makes of a prompt.
    String generated(String model, int[] prompt, int most, double temperature, double topP, long seed) {
        Transformer m = served.models().get(NAMES.indexOf(model));
        ModelText text = served.text();
        StringBuilder s = new StringBuilder();
        try (Decoder d = new Decoder(m, new CpuBackend(1), 256)) {
            StreamDecoder stream = text.stream();
            Generator.run(d, prompt, Math.min(most, 256 - prompt.length), text.stops(),
                    new Sampler(text.tokenizer().vocabSize(), temperature, topP, seed), t -> {
                        s.append(stream.add(t));
                        return true;
                    });
            return s.append(stream.finish()).toString();
        }
    }

    String generated(String model, String prompt, int most, double temperature, double topP, long seed) {
        return generated(model, served.text().prompt(prompt), most, temperature, topP, seed);
    }

    String chatted(String model, List<Message> messages, int most, double temperature, long seed) {
        return generated(model, served.text().prompt(messages), most, temperature, 1, seed);
    }

    HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(server.address()).resolve(path));
    }

    HttpResponse<String> post(String path, String body, String... headers) throws IOException, InterruptedException {
        HttpRequest.Builder b = request(path).POST(HttpRequest.BodyPublishers.ofString(body));
        if (headers.length > 0)
            b.headers(headers);
        return CLIENT.send(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    HttpResponse<String> get(String path, String... headers) throws IOException, InterruptedException {
        HttpRequest.Builder b = request(path);
        if (headers.length > 0)
            b.headers(headers);
        return CLIENT.send(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    @Override
    public void close() {
        server.close();
    }
}
