package dev.gyre.trainer.example;

import dev.gyre.kernels.InputException;
import dev.gyre.model.family.EncoderFamilies;
import dev.gyre.model.files.AtomicFiles;
import dev.gyre.model.files.FormatException;
import dev.gyre.model.files.Json;
import dev.gyre.model.format.ModelDirWriter;
import dev.gyre.model.format.TensorType;
import dev.gyre.model.task.TaskConfig;
import dev.gyre.model.task.TaskModel;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.zip.GZIPInputStream;
import tools.jackson.databind.node.ObjectNode;

/// Fashion-MNIST, the pictures of clothes in Debian's package `dataset-fashion-mnist`, cut into classes that a small vision
/// transformer is trained on from scratch and classes that it is fine-tuned to; and that transformer, untrained.
public final class Fashion {
    /// Where Debian's package puts the data.
    public static final Path INSTALLED = Path.of("/usr/share/datasets/fashion-mnist");

    /// T-shirt, trousers, pullover, dress, sandal, ankle boot.
    static final Set<Integer> OLD = Set.of(0, 1, 2, 3, 5, 9);
    /// Coat, shirt, sneaker, bag.
    static final Set<Integer> NEW = Set.of(4, 6, 7, 8);

    private Fashion() {
    }

    /// IDX files of images, each with its labels beside it.
    public record Data(Path oldTrain, Path oldTest, Path newTrain, Path newTest) {
    }

    /// Writes the four parts: the first so many images of each kind.
    public static Data write(Path from, Path to, int oldTrain, int newTrain, int test) {
        Path train = from.resolve("train-images-idx3-ubyte.gz");
        Path held = from.resolve("t10k-images-idx3-ubyte.gz");
        for (Path p : List.of(train, held))
            if (!Files.isRegularFile(p))
                throw new InputException(p + ": not there; install it with: apt-get install dataset-fashion-mnist"
                        + " (or unpack this Debian package and name the folder with --data)");
        AtomicFiles.createFolder(to);
        return new Data(part(train, OLD, oldTrain, to, "old-train"), part(held, OLD, test, to, "old-test"),
                part(train, NEW, newTrain, to, "new-train"), part(held, NEW, test, to, "new-test"));
    }

    private static Path part(Path images, Set<Integer> classes, int most, Path to, String name) {
        Path beside = images
                .resolveSibling(String.valueOf(images.getFileName()).replace("images-idx3", "labels-idx1"));
        try (DataInputStream in = new DataInputStream(new GZIPInputStream(Files.newInputStream(images)));
                DataInputStream of = new DataInputStream(new GZIPInputStream(Files.newInputStream(beside)))) {
            if (in.readInt() != 0x803 || of.readInt() != 0x801)
                throw new FormatException(images, "is no IDX file of images, or " + beside + " none of labels");
            int n = in.readInt();
            int height = in.readInt();
            int width = in.readInt();
            if (n != of.readInt() || height < 1 || height > 1024 || width < 1 || width > 1024)
                throw new FormatException(images, "does not fit " + beside.getFileName());
            List<byte[]> chosen = new ArrayList<>();
            ByteArrayOutputStream labels = new ByteArrayOutputStream();
            for (int i = 0; i < n && chosen.size() < most; i++) {
                byte[] pixels = new byte[height * width];
                in.readFully(pixels);
                int label = of.readUnsignedByte();
                if (classes.contains(label)) {
                    chosen.add(pixels);
                    labels.write(label);
                }
            }
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (DataOutputStream out = new DataOutputStream(bytes)) {
                for (int v : new int[] {0x803, chosen.size(), height, width})
                    out.writeInt(v);
                for (byte[] p : chosen)
                    out.write(p);
            }
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            try (DataOutputStream out = new DataOutputStream(said)) {
                out.writeInt(0x801);
                out.writeInt(chosen.size());
                labels.writeTo(out);
            }
            Path file = to.resolve(name + "-images-idx3-ubyte");
            AtomicFiles.write(file, bytes.toByteArray());
            AtomicFiles.write(to.resolve(name + "-labels-idx1-ubyte"), said.toByteArray());
            return file;
        } catch (IOException e) {
            throw FormatException.unreadable(images, e);
        }
    }

    /// Writes a vision transformer with random weights: patches of 4 x 4, 4 layers of width 96, 0.3 million parameters.
    public static void untrained(Path to, long seed) {
        ObjectNode o = Json.MAPPER.createObjectNode();
        o.putArray("architectures").add("ViTModel");
        o.put("model_type", "vit").put("image_size", 28).put("patch_size", 4).put("num_channels", 1);
        o.put("hidden_size", 96).put("num_hidden_layers", 4).put("num_attention_heads", 4);
        o.put("intermediate_size", 192).put("hidden_act", "gelu").put("layer_norm_eps", 1e-6).put("qkv_bias", true);
        TaskConfig c = new TaskConfig.OfEncoder(EncoderFamilies.parse(to.resolve("config.json"), o));
        TaskModel m = TaskModel.random(c, seed);
        ModelDirWriter w = ModelDirWriter.of(o);
        c.tensorShapes().forEach((name, shape) -> w.tensor(name, TensorType.F32, () -> m.values(name),
                Arrays.stream(shape).asLongStream().toArray()));
        ObjectNode p = Json.MAPPER.createObjectNode();
        p.put("image_processor_type", "ViTImageProcessor").put("do_resize", true);
        p.putObject("size").put("height", 28).put("width", 28);
        p.put("do_rescale", true).put("rescale_factor", 1 / 255.0).put("do_normalize", true);
        p.putArray("image_mean").add(0.5);
        p.putArray("image_std").add(0.5);
        w.file("preprocessor_config.json", Json.pretty(p)).write(to);
    }
}
