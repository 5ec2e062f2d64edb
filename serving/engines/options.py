"""The options that a deployment may set, by kind of engine; where an engine listens is not among them."""

from dataclasses import dataclass

from serving.engines.kinds import EngineKind


@dataclass(frozen=True, slots=True)
class Option:
    """A whole number of at least `minimum`, passed to the engine as `flag`."""

    flag: str
    minimum: int
    meaning: str


OPTIONS: dict[EngineKind, dict[str, Option]] = {
    EngineKind.LLAMACPP: {
        "ctx_size": Option("--ctx-size", 256, "tokens of context per request"),
        "parallel": Option("--parallel", 1, "requests decoded at once per adapter"),
        "threads": Option("--threads", 1, "processor threads"),
        "n_gpu_layers": Option("--n-gpu-layers", 0, "layers kept on a GPU"),
        "max_queue": Option("--max-queue", 1, "requests that may wait"),
    },
    EngineKind.VLLM: {
        "max_model_len": Option("--max-model-len", 256, "tokens of context per request"),
        "max_num_seqs": Option("--max-num-seqs", 1, "requests decoded at once"),
        "max_loras": Option("--max-loras", 1, "different adapters in one batch"),
        "max_cpu_loras": Option("--max-cpu-loras", 1, "adapters kept in main memory, at least max_loras"),
        "tensor_parallel_size": Option("--tensor-parallel-size", 1, "GPUs that share the model"),
    },
}


def option_problems(kind: EngineKind, options: dict[str, object]) -> list[str]:
    """What is wrong with a deployment's options, a sentence each."""
    known = OPTIONS.get(kind, {})
    problems = []
    for name, value in options.items():
        if name not in known:
            problems.append(f"{name} is no option of {kind}. Known are: {', '.join(known)}.")
        elif not isinstance(value, int) or isinstance(value, bool) or value < known[name].minimum:
            problems.append(f"{name} must be a whole number of at least {known[name].minimum}.")
    return problems


def option_flags(kind: EngineKind, options: dict[str, object]) -> list[str]:
    """The options as words of a command line."""
    return [word for name, value in options.items() for word in (OPTIONS[kind][name].flag, str(value))]
