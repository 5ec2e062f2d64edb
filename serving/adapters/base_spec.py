"""What an adapter must fit: the names and shapes of a base model's linear modules, read from its files."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from serving.adapters.gguf_header import ArrayLength, NotGguf, Value, read_metadata

ARCHITECTURES = ("llama",)
# Hugging Face's model types that are architecture `llama` to llama.cpp.
HF_MODEL_TYPES = {"llama": "llama", "mistral": "llama"}
_QUANTISATION = re.compile(r"[.\-_](i?q\d\w*|f16|bf16|f32)$", re.IGNORECASE)


class UnsupportedBase(ValueError):
    """The base model's files are unreadable, or describe a model that adapters cannot be fitted to yet."""


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
        queries = self.heads * self.head_dim
        keys = self.kv_heads * self.head_dim
        one_layer = {
            "self_attn.q_proj": (self.hidden, queries),
            "self_attn.k_proj": (self.hidden, keys),
            "self_attn.v_proj": (self.hidden, keys),
            "self_attn.o_proj": (queries, self.hidden),
            "mlp.gate_proj": (self.hidden, self.intermediate),
            "mlp.up_proj": (self.hidden, self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }
        return {
            f"model.layers.{layer}.{module}": shape
            for layer in range(self.layers)
            for module, shape in one_layer.items()
        }

    @classmethod
    def from_gguf(cls, path: Path) -> Self:
        """Read the metadata of a GGUF base model (milliseconds); raises UnsupportedBase."""
        try:
            metadata = read_metadata(path)
        except (NotGguf, OSError) as error:
            raise UnsupportedBase(f"{path.name} cannot be read as a GGUF model: {error}") from error
        if metadata.get("general.type", "model") != "model":
            raise UnsupportedBase(f"{path.name} holds no base model but: {metadata['general.type']}")
        architecture = metadata.get("general.architecture")
        if architecture not in ARCHITECTURES:
            raise UnsupportedBase(_unsupported(path.name, "architecture", architecture, ARCHITECTURES))
        if metadata.get("llama.expert_count", 0):
            raise UnsupportedBase(f"{path.name} is a mixture of experts; adapters for those are not supported")
        size = _Sizes(path.name, metadata)
        hidden, heads = size("llama.embedding_length"), size("llama.attention.head_count")
        tokens = metadata.get("tokenizer.ggml.tokens")
        names = _gguf_names(path, metadata)
        return cls(
            architecture="llama",
            name=names[0],
            names=names,
            layers=size("llama.block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=size("llama.attention.head_count_kv", heads),
            head_dim=size("llama.attention.key_length", hidden // heads),
            intermediate=size("llama.feed_forward_length"),
            vocab=size("llama.vocab_size", tokens.count if isinstance(tokens, ArrayLength) else None),
        )

    @classmethod
    def from_hf(cls, path: Path) -> Self:
        """Read a Hugging Face model folder, or its config.json; raises UnsupportedBase."""
        file = path / "config.json" if path.is_dir() else path
        try:
            config = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise UnsupportedBase(f"{file} cannot be read as a model's config.json: {error}") from error
        if not isinstance(config, dict):
            raise UnsupportedBase(f"{file} is not a JSON object")
        model_type = config.get("model_type")
        if model_type not in HF_MODEL_TYPES:
            raise UnsupportedBase(_unsupported(file.parent.name, "model type", model_type, HF_MODEL_TYPES))
        size = _Sizes(file.parent.name, config)
        hidden, heads = size("hidden_size"), size("num_attention_heads")
        names = tuple(
            name for name in (config.get("_name_or_path"), file.parent.name) if isinstance(name, str) and name
        )
        return cls(
            architecture=HF_MODEL_TYPES[model_type],
            name=names[0].rstrip("/").rpartition("/")[2],
            names=names,
            layers=size("num_hidden_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            head_dim=size("head_dim", hidden // heads),
            intermediate=size("intermediate_size"),
            vocab=size("vocab_size"),
        )


class _Sizes:
    """Takes positive integers out of a model's metadata, or says which one is missing."""

    def __init__(self, model: str, metadata: Mapping[str, Any]) -> None:
        self._model = model
        self._metadata = metadata

    def __call__(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(key)
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


def _unsupported(model: str, kind: str, found: object, known: Mapping[str, str] | tuple[str, ...]) -> str:
    return f"{model} has {kind} {found!r}; adapters are supported for: {', '.join(known)}"
