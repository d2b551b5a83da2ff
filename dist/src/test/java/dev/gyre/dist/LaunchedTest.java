package dev.gyre.dist;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import org.junit.jupiter.api.Test;

/// What says that a process is one of several workers, and what does not.
class LaunchedTest {
    private static boolean launched(String... environment) {
        Map<String, String> map = new java.util.HashMap<>();
        for (int i = 0; i < environment.length; i += 2)
            map.put(environment[i], environment[i + 1]);
        return Mpi.isLaunched(map);
    }

    @Test
    void launchersSayHowMany() {
        assertThat(launched("OMPI_COMM_WORLD_SIZE", "2")).isTrue();
        assertThat(launched("PMI_SIZE", "4")).isTrue();
        assertThat(launched("SLURM_STEP_NUM_TASKS", "8", "SLURM_NTASKS", "8")).isTrue();
        assertThat(launched("PMIX_RANK", "0")).isTrue();
    }

    @Test
    void oneWorkerAndABatchScriptAreAlone() {
        assertThat(launched()).isFalse();
        assertThat(launched("OMPI_COMM_WORLD_SIZE", "1")).isFalse();
        assertThat(launched("SLURM_NTASKS", "8", "SLURM_PROCID", "0")).isFalse();
        assertThat(Mpi.join(Map.of("PMI_SIZE", "1"), _ -> {
        })).isSameAs(Alone.INSTANCE);
    }

    @Test
    void whatIsNoNumberIsRefused() {
        assertThatThrownBy(() -> launched("PMI_SIZE", "many")).isInstanceOf(WorkerException.class)
                .hasMessage("PMI_SIZE=many is not a number of workers");
    }

    @Test
    void aLibraryThatIsNotThereIsNamed() {
        assertThatThrownBy(() -> Mpi.join(Map.of("PMI_SIZE", "2", "GYRE_MPI", "/nowhere/libmpi.so"), _ -> {
        })).isInstanceOf(WorkerException.class).hasMessage("started as one of several workers, but there is no MPI"
                + " library (/nowhere/libmpi.so); install Open MPI or MPICH, or give the library's path in GYRE_MPI");
    }
}
