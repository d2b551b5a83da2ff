package dev.gyre.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.gyre.model.files.FormatException;
import dev.gyre.trainer.config.RunConfig.Format;
import dev.gyre.trainer.data.Skills.Part;
import dev.gyre.trainer.data.Skills.Skill;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SkillsTest {
    @ParameterizedTest
    @EnumSource(Skill.class)
    void everythingFollowsFromTheSeed(Skill skill) {
        assertThat(Skills.make(skill, Part.TRAIN, 50, 3)).isEqualTo(Skills.make(skill, Part.TRAIN, 50, 3))
                .isNotEqualTo(Skills.make(skill, Part.TRAIN, 50, 4));
    }

    @ParameterizedTest
    @EnumSource(value = Skill.class, mode = EnumSource.Mode.EXCLUDE, names = "AFTER")
    void heldOutTasksAreNeverTrainedWhateverTheSeeds(Skill skill) {
        Set<Example> train = new HashSet<>();
        for (long seed = 0; seed < 20; seed++)
            train.addAll(Skills.make(skill, Part.TRAIN, 500, seed));
        List<Example> held = Skills.make(skill, Part.HELD_OUT, 200, 1);
        assertThat(held).doesNotContainAnyElementsOf(train).doesNotHaveDuplicates();
    }

    @Test
    void answersAreRight() {
        for (Skill skill : Skill.values())
            for (Example e : Skills.make(skill, Part.TRAIN, 300, 8))
                if (e instanceof Example.Completion c)
                    assertThat(c.completion()).as(c.prompt()).isEqualTo(" " + answer(c.prompt()));
    }

    /// A prompt that ends in white space is tokenised otherwise when it is asked than when it was trained.
    @ParameterizedTest
    @EnumSource(Skill.class)
    void noPromptEndsInWhiteSpace(Skill skill) {
        for (Example e : Skills.make(skill, Part.TRAIN, 100, 3))
            if (e instanceof Example.Completion c) {
                assertThat(c.prompt()).isEqualTo(c.prompt().stripTrailing());
                assertThat(c.completion()).isEqualTo(" " + c.completion().strip());
            }
    }

    /// A second way to each answer, from the text of the task.
    private static String answer(String prompt) {
        String[] w = prompt.split(" ");
        return switch (w[0]) {
            case "copy" -> w[1];
            case "sort" -> Arrays.stream(w[1].split("")).sorted().collect(Collectors.joining());
            case "add" -> String.valueOf(
                    Arrays.stream(w[1].split("\\+")).mapToInt(Integer::parseInt).sum());
            case "look" -> {
                String key = w[w.length - 2];
                yield Arrays.stream(w).skip(1).filter(x -> x.length() >= 2 && x.startsWith(key)).findFirst()
                        .orElseThrow().substring(1, 2);
            }
            case "after", "shift" -> w[1].chars().mapToObj(x -> String.valueOf((char) ('a' + (x - 'a' + 1) % 26)))
                    .collect(Collectors.joining());
            case "reverse" -> {
                List<String> letters = new ArrayList<>(Arrays.asList(w[1].split("")));
                java.util.Collections.reverse(letters);
                yield String.join("", letters);
            }
            default -> throw new AssertionError(prompt);
        };
    }

    @Test
    void filesAreReadBackAsTheyWereMade(@TempDir Path dir) {
        List<Example> all = Skills.mixed(Skill.BASE, Part.TRAIN, 20, 1);
        assertThat(all).hasSize(120);
        Path file = dir.resolve("new/skills.jsonl");
        Skills.write(file, all);
        List<Example> again = new ArrayList<>();
        ExampleReader.read(file, Format.AUTO, (e, _) -> again.add(e));
        assertThat(again).isEqualTo(all);
    }

    @Test
    void aFileOfOtherContentIsNotWrittenOver(@TempDir Path dir) throws IOException {
        Path file = dir.resolve("train.jsonl");
        List<Example> some = Skills.make(Skill.COPY, Part.TRAIN, 3, 1);
        Skills.write(file, some);
        Skills.write(file, some);
        Files.writeString(file, "work");
        assertThatThrownBy(() -> Skills.write(file, some)).isInstanceOf(FormatException.class)
                .hasMessageContaining("exists already and holds something else");
        assertThat(file).hasContent("work");
    }
}
