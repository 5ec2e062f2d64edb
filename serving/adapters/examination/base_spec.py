"""What an adapter must fit: the names and shapes of a base model's linear modules, read from its files."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from serving.adapters.examination.architectures import ARCHITECTURES, BY_MODEL_TYPE, EXPERT_COUNTS, Sizes
from serving.adapters.reading.gguf_header import ArrayLength, NotGguf, Value, read_metadata

_QUANTISATION = re.compile(r"[.\-_](i?q\d\w*|f16|bf16|f32)$", re.IGNORECASE)


class UnsupportedBase(ValueError):
    """The base model's files describe a model that adapters cannot be fitted to yet."""


class UnreadableBase(UnsupportedBase):
    """The base model's files are unreadable, or hold no model."""


@dataclass(frozen=True)
class BaseSpec:
    """A base model as adapters see it. Shapes are those of weights in PyTorch's terms: (in, out) features."""

    architecture: str
    name: str  # for people
    names: tuple[str, ...]  # all that the files call the model, for the check of the declared base
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int

    @cached_property
    def linear_modules(self) -> Mapping[str, tuple[int, int]]:
        """Module name as in PyTorch ("model.layers.0.self_attn.q_proj") → (in features, out features)."""
        sizes = Sizes(self.hidden, self.heads, self.kv_heads, self.head_dim, self.intermediate)
        one_layer = ARCHITECTURES[self.architecture].modules(sizes)
        return {
            f"model.layers.{layer}.{module}": shape
            for layer in range(self.layers)
            for module, shape in one_layer.items()
        }

    @classmethod
    def from_gguf(cls, path: Path) -> Self:
        """Read the metadata of a GGUF base model (milliseconds); raises UnsupportedBase."""
        metadata = gguf_metadata(path)
        architecture = metadata.get("general.architecture")
        if metadata.get(f"{architecture}.expert_count"):
            raise UnsupportedBase(_experts(path.name))
        if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
            raise UnsupportedBase(_unsupported(path.name, "architecture", architecture, ARCHITECTURES))
        size = _SizeReader(path.name, metadata, prefix=f"{architecture}.")
        hidden, heads = size("embedding_length"), size("attention.head_count")
        tokens = metadata.get("tokenizer.ggml.tokens")
        names = _gguf_names(path, metadata)
        return cls(
            architecture=architecture,
            name=names[0],
            names=names,
            layers=size("block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=size("attention.head_count_kv", heads),
            head_dim=size("attention.key_length", hidden // heads),
            intermediate=size("feed_forward_length"),
            vocab=size("vocab_size", tokens.count if isinstance(tokens, ArrayLength) else None),
        )

    @classmethod
    def from_hf(cls, path: Path) -> Self:
        """Read a Hugging Face model folder, or its config.json; raises UnsupportedBase."""
        file = path / "config.json" if path.is_dir() else path
        config = hf_config(file)
        model_type = config.get("model_type")
        if any(config.get(count) for count in EXPERT_COUNTS):
            raise UnsupportedBase(_experts(file.parent.name))
        architecture = BY_MODEL_TYPE.get(model_type) if isinstance(model_type, str) else None
        if architecture is None:
            raise UnsupportedBase(_unsupported(file.parent.name, "model type", model_type, BY_MODEL_TYPE))
        size = _SizeReader(file.parent.name, config)
        hidden, heads = size("hidden_size"), size("num_attention_heads")
        names = tuple(
            name for name in (config.get("_name_or_path"), file.parent.name) if isinstance(name, str) and name
        )
        return cls(
            architecture=architecture.name,
            name=names[0].rstrip("/").rpartition("/")[2],
            names=names,
            layers=size("num_hidden_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            head_dim=size("head_dim", architecture.head_dim or hidden // heads),
            intermediate=size("intermediate_size"),
            vocab=size("vocab_size"),
        )


def gguf_metadata(path: Path) -> Mapping[str, Value]:
    """The metadata of a GGUF base model (milliseconds); raises UnreadableBase."""
    try:
        status = path.stat()
        metadata = _gguf_metadata(path, status.st_mtime_ns, status.st_size)
    except (NotGguf, OSError) as error:
        raise UnreadableBase(f"{path.name} cannot be read as a GGUF model: {error}") from error
    if metadata.get("general.type", "model") != "model":
        raise UnreadableBase(f"{path.name} holds no base model but: {metadata['general.type']}")
    return metadata


def hf_config(file: Path) -> dict[str, Any]:
    """A Hugging Face model's config.json; raises UnreadableBase."""
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UnreadableBase(f"{file} cannot be read as a model's config.json: {error}") from error
    if not isinstance(config, dict):
        raise UnreadableBase(f"{file} is not a JSON object")
    return config


@lru_cache(maxsize=16)
def _gguf_metadata(path: Path, modified: int, size: int) -> Mapping[str, Value]:
    """The metadata of a file as it was then: a large vocabulary takes longer to read than an adapter to refuse."""
    return read_metadata(path)


class _SizeReader:
    """Takes positive integers out of a model's metadata, or says which one is missing."""

    def __init__(self, model: str, metadata: Mapping[str, Any], prefix: str = "") -> None:
        self._model = model
        self._metadata = metadata
        self._prefix = prefix

    def __call__(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(key := self._prefix + key)
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnsupportedBase(f"{self._model}: {key} is {value!r}, expected a positive integer")
        return value


def _gguf_names(path: Path, metadata: Mapping[str, Value]) -> tuple[str, ...]:
    """Return what a GGUF file calls its model, the best name for people first; never empty."""

    def text(key: str) -> str:
        value = metadata.get(f"general.{key}", "")
        return value if isinstance(value, str) else ""

    parts = [text("basename"), text("size_label"), text("finetune")]
    full = "-".join(part for part in parts if part) if all(parts[:2]) else ""
    stem = _QUANTISATION.sub("", path.stem)
    candidates = (stem, text("name"), full, text("source.huggingface.repository"))
    return tuple(dict.fromkeys(name for name in candidates if name))


def _experts(model: str) -> str:
    return (
        f"{model} is a mixture of experts. Adapters for those are not supported: the engines do not apply them alike. "
        "Add a dense model of the same family instead"
    )


def _unsupported(model: str, kind: str, found: object, known: Iterable[str]) -> str:
    return f"{model} has {kind} {found!r}; adapters are supported for: {', '.join(known)}"
