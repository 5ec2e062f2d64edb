"""The options that a deployment may set, by kind of engine; where an engine listens is not among them."""

import math
import re
from dataclasses import dataclass
from typing import Any

from serving.adapters.reading.limits import ENGINE_RANKS
from serving.engines.kinds import EngineKind


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number of at least `minimum`."""

    flag: str
    minimum: int
    meaning: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        if isinstance(value, bool) or not isinstance(value, int) or value < self.minimum:
            return f"must be a whole number of at least {self.minimum}"
        return None

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return [self.flag, str(value)]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of something: more than 0, at most 1."""

    flag: str
    meaning: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            return "must be a number of more than 0 and at most 1"
        return None

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return [self.flag, str(value)]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few whole numbers."""

    flag: str
    values: tuple[int, ...]
    meaning: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        if isinstance(value, bool) or value not in self.values:
            return f"must be one of {', '.join(map(str, self.values))}"
        return None

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return [self.flag, str(value)]


@dataclass(frozen=True, slots=True)
class Text:
    """A text that matches `pattern` as a whole; `example` shows one. Of several words in `flag` the last takes it."""

    flag: str
    pattern: str
    example: str
    meaning: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            return f"must be such as {self.example}"
        return None

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return [*self.flag.split(), str(value)]


@dataclass(frozen=True, slots=True)
class Switch:
    """Something that is on or off; unless set it is as the engine has it, which is off where there is no `off_flag`."""

    flag: str
    meaning: str
    off_flag: str = ""

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        return None if isinstance(value, bool) else "must be true or false"

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return [self.flag] if value else [self.off_flag] if self.off_flag else []


@dataclass(frozen=True, slots=True)
class Flags:
    """Further words for the command line, as one text; only flags in `allowed`, with `=` before a value."""

    allowed: frozenset[str]
    meaning: str

    def problem(self, value: object) -> str | None:
        """What is wrong with a value; None: nothing."""
        if not isinstance(value, str):
            return "must be a text such as --block-size=32"
        for word in value.split():
            flag, _, given = word.partition("=")
            if flag not in self.allowed:
                return f"may not hold {flag}; allowed are {', '.join(sorted(self.allowed))}"
            if given and not re.fullmatch(r"[\w.,:+-]{1,100}", given):
                return f"has a value for {flag} with other characters than letters, digits and . , : + - _"
        return None

    def words(self, value: object) -> list[str]:
        """The option on a command line."""
        return str(value).split()


Option = Number | Share | Choice | Text | Switch | Flags

# The scheduling policy unless a deployment says otherwise: gateways say who is next.
PRIORITY = "priority"
# What vLLM is started with unless a deployment says otherwise.
VLLM_DEFAULTS: dict[str, Any] = {
    "scheduling_policy": PRIORITY,
    # vLLM's own default depends on its version and on the GPU.
    "max_num_seqs": 256,
    "max_loras": 4,
    "max_cpu_loras": 64,
    # Beyond this, callers are better told to come again than kept waiting.
    "max_num_queued_reqs": 1024,
}
# What is about adapters, and goes unsaid to an engine that holds none.
LORA_OPTIONS = frozenset({"max_loras", "max_cpu_loras", "max_lora_rank", "lora_dtype", "fully_sharded_loras"})
# Flags that neither open a door nor run or fetch code, nor contradict what the driver says.
_VLLM_FLAGS = frozenset(
    {
        "--attention-backend",
        "--block-size",
        "--chat-template-content-format",
        "--cpu-offload-gb",
        "--disable-cascade-attn",
        "--disable-custom-all-reduce",
        "--disable-sliding-window",
        "--enable-chunked-prefill",
        "--enable-expert-parallel",
        "--kv-cache-memory-bytes",
        "--long-prefill-token-threshold",
        "--max-logprobs",
        "--max-long-partial-prefills",
        "--max-num-batched-tokens",
        "--max-num-partial-prefills",
        "--no-enable-chunked-prefill",
        "--num-gpu-blocks-override",
        "--pipeline-parallel-size",
        "--seed",
        "--tokenizer-mode",
    }
)
_CACHE_TYPE = r"f32|f16|bf16|q8_0|q5_1|q5_0|q4_1|q4_0"
_PARSER = r"[a-z0-9_]{1,40}"
_DECIMAL = r"\d{1,12}(\.\d{1,9})?"

OPTIONS: dict[EngineKind, dict[str, Option]] = {
    EngineKind.LLAMACPP: {
        "ctx_size": Number("--ctx-size", 256, "tokens of context per request"),
        "parallel": Number("--parallel", 1, "requests of one adapter that are decoded as one batch"),
        "threads": Number("--threads", 1, "processor threads"),
        "max_queue": Number("--max-queue", 1, "requests that may wait"),
        "max_contexts": Number("--max-contexts", 1, "batches, each of one adapter, under way at once"),
        "kv_memory_mib": Number("--kv-memory-mib", 16, "memory for all KV caches together, in MiB"),
        "n_gpu_layers": Number("--n-gpu-layers", -1, "layers kept on a GPU, -1 for all"),
        "tensor_split": Text("--tensor-split", rf"{_DECIMAL}(,{_DECIMAL})*", "3,1", "shares of several GPUs"),
        "flash_attn": Text("--flash-attn", "auto|on|off", "auto, on or off", "flash attention"),
        "cache_type_k": Text("--cache-type-k", _CACHE_TYPE, "f16 or q8_0", "type of cached keys"),
        "cache_type_v": Text("--cache-type-v", _CACHE_TYPE, "f16 or q8_0", "type of cached values"),
        "rope_scaling": Text("--rope-scaling", "none|linear|yarn", "none, linear or yarn", "way to longer contexts"),
        "rope_freq_base": Text("--rope-freq-base", _DECIMAL, "10000", "base frequency of RoPE"),
        "rope_freq_scale": Text("--rope-freq-scale", _DECIMAL, "0.5", "frequency factor of RoPE"),
        "no_mmap": Switch("--no-mmap", "read the model into memory"),
        "mlock": Switch("--mlock", "keep the model from being swapped out"),
    },
    EngineKind.VLLM: {
        "max_model_len": Number("--max-model-len", 256, "tokens of context per request"),
        "max_num_seqs": Number("--max-num-seqs", 1, "requests decoded at once"),
        "max_num_queued_reqs": Number("--max-num-queued-reqs", 1, "requests that it takes on before it refuses more"),
        "scheduling_policy": Text(
            "--scheduling-policy",
            "priority|fcfs",
            "priority or fcfs",
            "who is next: by departments' turns, or as they come",
        ),
        "max_loras": Number("--max-loras", 1, "different adapters in one batch"),
        "max_cpu_loras": Number("--max-cpu-loras", 1, "adapters kept in main memory, at least max_loras"),
        "max_lora_rank": Choice("--max-lora-rank", ENGINE_RANKS, "highest rank of an adapter"),
        "lora_dtype": Text("--lora-dtype", "auto|float16|bfloat16", "auto or bfloat16", "type of adapters' weights"),
        "fully_sharded_loras": Switch("--fully-sharded-loras", "share adapters' weights out over all GPUs"),
        "tensor_parallel_size": Number("--tensor-parallel-size", 1, "GPUs that share the model"),
        "tool_call_parser": Text(
            "--enable-auto-tool-choice --tool-call-parser", _PARSER, "hermes", "how the model writes calls of tools"
        ),
        "reasoning_parser": Text("--reasoning-parser", _PARSER, "qwen3", "how the model sets its thoughts apart"),
        "gpu_memory_utilization": Share("--gpu-memory-utilization", "share of each GPU's memory that it may use"),
        "dtype": Text(
            "--dtype", "auto|half|float16|bfloat16|float32", "auto or bfloat16", "type of weights and activations"
        ),
        "quantization": Text("--quantization", r"[a-z0-9_]{2,40}", "fp8, awq or gptq", "quantisation of the weights"),
        "kv_cache_dtype": Text("--kv-cache-dtype", r"auto|fp8(_e4m3|_e5m2)?", "auto or fp8", "type of the KV cache"),
        "prefix_caching": Switch(
            "--enable-prefix-caching", "reuse what prompts begin with", off_flag="--no-enable-prefix-caching"
        ),
        "enforce_eager": Switch("--enforce-eager", "start faster and answer slower, without compiled graphs"),
        "extra_flags": Flags(_VLLM_FLAGS, "further flags of vLLM, such as --block-size=32"),
    },
}


# The options whose product is how many requests an engine works on at once, with what they are when they are not set.
_SLOTS: dict[EngineKind, dict[str, int]] = {
    EngineKind.LLAMACPP: {"parallel": 8, "max_contexts": 32},
    EngineKind.VLLM: {"max_num_seqs": VLLM_DEFAULTS["max_num_seqs"]},
}


def option_problems(kind: EngineKind, options: dict[str, object]) -> list[str]:
    """What is wrong with a deployment's options, a sentence each."""
    known = OPTIONS[kind]
    problems = []
    for name, value in options.items():
        if name not in known:
            problems.append(f"{name} is no option of {kind}. Known are: {', '.join(known)}.")
        elif problem := known[name].problem(value):
            problems.append(f"{name} {problem}.")
    if not problems and kind is EngineKind.VLLM:
        loras, cpu_loras = (options.get(name, VLLM_DEFAULTS[name]) for name in ("max_loras", "max_cpu_loras"))
        if cpu_loras < loras:  # type: ignore[operator]  # both are whole numbers, or there would be a problem
            problems.append(f"max_cpu_loras must be at least max_loras, {loras}; it is {cpu_loras}.")
    return problems


def slots(kind: EngineKind, options: dict[str, Any]) -> int:
    """How many requests an engine with these options works on at once."""
    return math.prod(options.get(name, default) for name, default in _SLOTS[kind].items())


def takes_priority(kind: EngineKind, options: dict[str, Any]) -> bool:
    """Whether an engine with these options can be told who is next; one that cannot refuses to hear it."""
    return kind is EngineKind.VLLM and options.get("scheduling_policy", PRIORITY) == PRIORITY


def option_flags(kind: EngineKind, options: dict[str, object]) -> list[str]:
    """The options as words of a command line."""
    return [word for name, value in options.items() for word in OPTIONS[kind][name].words(value)]
