package dev.gyre.trainer.loop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.gyre.trainer.config.RunConfig.Schedule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LrScheduleTest {
    @ParameterizedTest
    @EnumSource(Schedule.class)
    void warmUpRisesLinearlyToThePeak(Schedule kind) {
        LrSchedule s = new LrSchedule(kind, 0.4, 4, 20, 0.1);
        assertThat(s.at(1)).isCloseTo(0.1, within(1e-15));
        assertThat(s.at(2)).isCloseTo(0.2, within(1e-15));
        assertThat(s.at(4)).isCloseTo(0.4, within(1e-15));
        assertThat(s.at(5)).isCloseTo(0.4, within(1e-15));
    }

    @Test
    void decayEndsAtTheRatioOneStepAfterTheLast() {
        for (Schedule kind : new Schedule[] {Schedule.LINEAR, Schedule.COSINE}) {
            LrSchedule s = new LrSchedule(kind, 0.4, 4, 20, 0.1);
            for (long t = 5; t < 20; t++)
                assertThat(s.at(t + 1)).isLessThan(s.at(t));
            assertThat(s.at(20)).isGreaterThan(0.04);
            assertThat(s.at(21)).isCloseTo(0.04, within(1e-15));
            assertThat(s.at(13)).as("half way").isCloseTo((0.4 + 0.04) / 2, within(1e-15));
        }
        assertThat(new LrSchedule(Schedule.CONSTANT, 0.4, 0, 20, 0.1).at(20)).isEqualTo(0.4);
    }

    @Test
    void aRunOfOneStepTakesItAtThePeak() {
        assertThat(new LrSchedule(Schedule.COSINE, 0.4, 0, 1, 0).at(1)).isEqualTo(0.4);
        assertThat(new LrSchedule(Schedule.LINEAR, 0.4, 1, 1, 0).at(1)).isEqualTo(0.4);
    }
}
