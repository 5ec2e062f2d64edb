"""The kinds of engine there are, and what each can be asked."""

from enum import StrEnum


class EngineKind(StrEnum):
    """Which program answers; its value is what the header `x-polygraft-engine` says."""

    LLAMACPP = "llamacpp"
    VLLM = "vllm"


# As people call them.
KIND_NAMES = {EngineKind.LLAMACPP: "llama.cpp", EngineKind.VLLM: "vLLM"}

# The paths of inference that each kind answers by itself, if its model is made for that.
NATIVE_PATHS: dict[EngineKind, frozenset[str]] = {
    EngineKind.LLAMACPP: frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize"}),
    EngineKind.VLLM: frozenset(
        {
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/rerank",
            "/v1/responses",
            "/v1/score",
            "/tokenize",
        }
    ),
}
