"""The name under which an engine holds an adapter version: from the digest, never from user input."""

_PREFIX = "lora-"
_DIGEST_LENGTH = 64


def engine_adapter_name(digest: str) -> str:
    """The name for content of this SHA-256.

    vLLM keys its KV cache by LoRA name, so a name stands for the same bytes for ever, and two departments that
    upload the same bytes may share them. It is longer than a base model's name may be, so the two cannot collide.
    """
    return f"{_PREFIX}{digest}"


def is_adapter_name(name: str) -> bool:
    """Whether an engine's name for a model is that of an adapter, and not its base model's."""
    return name.startswith(_PREFIX) and len(name) == len(_PREFIX) + _DIGEST_LENGTH


def digest_of(name: str) -> str:
    """The digest in such a name."""
    return name.removeprefix(_PREFIX)
