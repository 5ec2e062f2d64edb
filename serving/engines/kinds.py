"""The kinds of engine there are."""

from enum import StrEnum


class EngineKind(StrEnum):
    """Which program answers; its value is what the header `x-polygraft-engine` says."""

    LLAMACPP = "llamacpp"
    VLLM = "vllm"
