package dev.gyre.trainer.config;

/// What `run.yaml` and `pretrain.yaml` of language models have in common.
public sealed interface RunSettings extends LoopSettings permits RunConfig, PretrainConfig {
    RunConfig.Data data();

    RunConfig.Eval eval();

    @Override
    default int evaluateEvery() {
        return eval().every();
    }

    @Override
    default int patience() {
        return eval().patience();
    }

    @Override
    default RunConfig.Result result() {
        return eval().result();
    }
}
