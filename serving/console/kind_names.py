"""The kinds of engine as people call them."""

from serving.engines.kinds import EngineKind

KIND_NAMES = {EngineKind.LLAMACPP: "llama.cpp", EngineKind.VLLM: "vLLM"}
