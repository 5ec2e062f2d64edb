"""Reads a model's shape and exact size from the header of a GGUF file."""

from pathlib import Path

from serving.adapters.reading.gguf_header import ArrayLength, NotGguf, Value, read_metadata, read_tensor_sizes
from serving.capacity.architectures import ARCHITECTURES, windows
from serving.capacity.shape import Shape, UnknownModel, attention_modules, gated_modules

_KNOWN = {architecture.gguf: architecture for architecture in ARCHITECTURES.values()}
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


def shape_from_gguf(path: Path) -> Shape:
    """Read a GGUF file's header, in less than a second.

    Raises:
        UnknownModel: it is no GGUF model, a damaged one, or of an architecture that the planner does not know.
    """
    try:
        metadata, tensors = read_metadata(path), read_tensor_sizes(path)
    except (NotGguf, OSError) as error:
        raise UnknownModel(f"{path.name} cannot be read as a GGUF model: {error}") from error
    kind = str(metadata.get("general.architecture"))
    architecture = _KNOWN.get(kind)
    if architecture is None:
        raise UnknownModel(f"The planner does not know GGUF's architecture {kind!r}. It knows {', '.join(_KNOWN)}.")
    size = _Sizes(metadata, kind)
    hidden, heads, layers = size("embedding_length"), size("attention.head_count"), size("block_count")
    kv_heads = size("attention.head_count_kv", heads)
    key_width = size("attention.key_length", max(1, hidden // heads))
    value_width = size("attention.value_length", key_width)
    intermediate = size("feed_forward_length")
    modules = attention_modules(
        hidden=hidden, heads=heads, kv_heads=kv_heads, key_width=key_width, value_width=value_width
    )
    if not metadata.get(f"{kind}.expert_count", 0):
        modules += gated_modules(hidden=hidden, intermediate=intermediate)
    embedding = tensors.get(_EMBEDDING)
    if embedding is None:
        raise UnknownModel(f"{path.name} has no tensor {_EMBEDDING}: it is no whole model.")
    total = sum(tensor.values for tensor in tensors.values())
    tied = _HEAD not in tensors
    slides = f"{kind}.attention.sliding_window" in metadata
    return Shape(
        name=path.stem,
        architecture=kind,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        key_width=key_width,
        value_width=value_width,
        intermediate=intermediate,
        vocabulary=embedding.values // hidden,
        context=size("context_length", 2**20),
        tied=tied,
        windows=windows(architecture, layers, size("attention.sliding_window") if slides else None),
        linear=sum(t.values for name, t in tensors.items() if name.startswith("blk.") and "norm" not in name),
        parameters=total,
        modules=tuple(modules),
        embeds_lora=architecture.embeds_lora,
        file_bytes=sum(tensor.bytes for tensor in tensors.values()),
        file_format="GGUF",
    )


class _Sizes:
    """Takes positive whole numbers out of a file's metadata, or says which one is missing."""

    def __init__(self, metadata: dict[str, Value], architecture: str) -> None:
        self._metadata = metadata
        self._architecture = architecture

    def __call__(self, key: str, default: int | None = None) -> int:
        name = f"{self._architecture}.{key}"
        value = self._metadata.get(name, default)
        if isinstance(value, ArrayLength):
            raise UnknownModel(f"{name} differs from layer to layer, which the planner cannot reckon with.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnknownModel(f"{name} is {value!r} in this file, and must be a positive whole number.")
        return value
