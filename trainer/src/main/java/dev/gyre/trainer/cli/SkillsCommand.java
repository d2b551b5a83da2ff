package dev.gyre.trainer.cli;

import dev.gyre.trainer.cli.screen.ExitCode;
import dev.gyre.trainer.cli.screen.Text;
import dev.gyre.trainer.data.Skills;
import dev.gyre.trainer.data.Skills.Part;
import dev.gyre.trainer.data.Skills.Skill;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `gyre skills`: writes examples of the small synthetic language.
@Command(name = "skills",
        description = "Write examples of a small synthetic language (copying, sorting, arithmetic, look-ups, sentences, ...) as JSONL, for small models and teaching.")
final class SkillsCommand extends GyreCommand {
    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Folder for train.jsonl and valid.jsonl.")
    @SuppressWarnings("NullAway.Init") // required, set by picocli
    Path out;

    @Option(names = "--skill", split = ",", paramLabel = "NAME",
            description = "One of ${COMPLETION-CANDIDATES}; several with commas (default: those of the shipped base model).")
    List<Skill> skills = Skill.BASE;

    @Option(names = "--train", defaultValue = "20000", paramLabel = "N",
            description = "Training examples per skill (default: ${DEFAULT-VALUE}).")
    int train;

    @Option(names = "--valid", defaultValue = "200", paramLabel = "N",
            description = "Held-out examples per skill (default: ${DEFAULT-VALUE}); their tasks never occur in training.")
    int valid;

    @Option(names = "--seed", defaultValue = "1", description = "Default: ${DEFAULT-VALUE}.")
    long seed;

    @Override
    protected int run() {
        if (train < 1 || valid < 1)
            throw new UsageException("--train and --valid must be at least 1");
        Skills.write(out.resolve("train.jsonl"), Skills.mixed(skills, Part.TRAIN, train, seed));
        Skills.write(out.resolve("valid.jsonl"), Skills.mixed(skills, Part.HELD_OUT, valid, seed));
        screen().result(
                "wrote " + Text.count((long) train * skills.size()) + " examples to " + out.resolve("train.jsonl")
                        + " and " + Text.count((long) valid * skills.size()) + " to " + out.resolve("valid.jsonl"));
        return ExitCode.OK;
    }
}
