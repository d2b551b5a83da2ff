package dev.gyre.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.gyre.kernels.cpu.CpuBackend;
import dev.gyre.model.adapter.Targets;
import dev.gyre.model.adapter.oft.Oft;
import dev.gyre.trainer.cli.Cli;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;

class HeadlineTest {
    private static HeadlineCommand.Findings findings() {
        return new HeadlineCommand.Findings("a machine", false, 0.01, 12,
                List.of(new Headline.Width(512, 1, 1.5, 3, 1 << 20, 4 << 20),
                        new Headline.Width(1024, 4, 5, 20, 2 << 20, 16 << 20)),
                List.of(new Headline.Memory("OFTv2, b = 32", 100 << 20, 5),
                        new Headline.Memory("PSOFT, r = 64", 38 << 20, 5),
                        new Headline.Memory("BOFT, 2 factors", 100 << 20, 9)),
                List.of(new Headline.Sweep(512, 0.1, 1, 0.05), new Headline.Sweep(1024, 0.2, 4, 0.1)),
                List.of(new Headline.Step("LoRA", 100, 80 << 20), new Headline.Step("OFTv2", 110, 80 << 20),
                        new Headline.Step("QLoRA", 120, 40 << 20), new Headline.Step("QOFT", 132, 40 << 20)),
                List.of(new Headline.Map("Neumann, 5 terms", Headline.Map.Family.NEUMANN, 1, 1e-4, 1e-2),
                        new Headline.Map("Newton-Schulz, 6", Headline.Map.Family.NEWTON_SCHULZ, 2, 1e-7, 2e-7),
                        new Headline.Map("exact Cayley", Headline.Map.Family.EXACT, 4, 1e-7, 1e-7)));
    }

    @Test
    void claimsAreRatiosOfWhatWasMeasured() {
        List<String> said = HeadlineCommand.claims(findings());
        assertThat(said.get(0)).contains("OFT v1 takes 4.0 x the time", "grows as d^2.7", "OFTv2's as d^1.7");
        assertThat(said.get(1)).contains("2.0 MiB, OFT v1 16.0 MiB (8 x)");
        assertThat(said.get(2)).contains("62 % less than BOFT's 100");
        assertThat(said.get(3)).contains("1,023 rotations", "20.0 x as fast", "2.0 x the time of a copy");
        assertThat(said.get(4)).contains("1.10 x QLoRA's time and 1.20 x OFTv2's; memory 0.50 x");
        assertThat(said.get(5)).contains("0.25 x the exact");
    }

    @Test
    void pictureIsAPngAndAWellFormedSvg() throws Exception {
        Picture p = HeadlineCommand.draw(findings());
        assertThat(ImageIO.read(new ByteArrayInputStream(p.png())).getWidth()).isEqualTo(3120);
        Document svg = DocumentBuilderFactory.newInstance().newDocumentBuilder()
                .parse(new ByteArrayInputStream(p.svg().getBytes(StandardCharsets.UTF_8)));
        assertThat(svg.getElementsByTagName("polyline").getLength()).isGreaterThan(10);
        assertThat(p.svg()).contains("OFTv2 turns inputs", "a machine").doesNotContain("NaN", "Infinity");
    }

    @Test
    void memoryIsPlannedAndRotationsAreAsOrthogonalAsTheySay() {
        Headline h = new Headline(new CpuBackend(1), true, _ -> {
        });
        List<Headline.Memory> memory = h.memory();
        assertThat(memory).extracting(Headline.Memory::activations).allMatch(b -> b > 0);
        assertThat(memory.getLast().activations()).isGreaterThan(memory.getFirst().activations());
        for (Headline.Map m : h.maps())
            switch (m.family()) {
            case EXACT -> assertThat(m.defectLarge()).isLessThan(1e-6);
            case NEUMANN -> assertThat(m.defectSmall()).isLessThan(m.defectLarge() + 1e-6).isLessThan(1e-3);
            // its error is spread evenly over the singular values it is tuned for
            case NEWTON_SCHULZ -> assertThat(Math.max(m.defectSmall(), m.defectLarge())).isLessThan(0.02);
            }
    }

    @Test
    void adaptedLayerTrainsBlocksAndTakesMoreMemory() {
        try (Layer frozen = new Layer(new CpuBackend(1), null, 64, 16);
                Layer v2 = new Layer(new CpuBackend(1),
                        Oft.of(Targets.names("layer"), 16), 64, 16)) {
            v2.run();
            assertThat(frozen.trainable()).isZero();
            assertThat(v2.trainable()).isEqualTo(4 * 16 * 15 / 2);
            assertThat(v2.bytes()).isGreaterThan(frozen.bytes());
        }
    }

    @Test
    void unwritableFolderIsSaidBeforeAnythingIsMeasured(@TempDir Path dir) throws Exception {
        Path file = Files.writeString(dir.resolve("taken"), "a file");
        Cli r = Cli.gyre("bench", "headline", "--quick", "--out", file);
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.err().strip()).contains("taken").doesNotContain("\n");
    }
}
