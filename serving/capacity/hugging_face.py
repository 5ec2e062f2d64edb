"""Reads a model's shape from Hugging Face's config.json, and its exact size from the files beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.adapters.examination.report import Rejected
from serving.adapters.reading.safetensors_file import read_header
from serving.capacity.architectures import ARCHITECTURES, SLIDING, Architecture, windows
from serving.capacity.shape import Module, Shape, UnknownModel, attention_modules, gated_modules, values

_LONGEST_HEADER = 64 * 1024**2


def shape_from_folder(folder: Path) -> Shape:
    """Read a model's folder.

    Raises:
        UnknownModel: there is no config.json, it is none that the planner knows, or a file is damaged.
    """
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{file} cannot be read as a model's config.json: {error}") from error
    shards = sorted(folder.glob("*.safetensors"))
    try:
        size = sum(
            tensor.end - tensor.start for shard in shards for tensor in read_header(shard, _LONGEST_HEADER).values()
        )
    except (OSError, Rejected) as error:
        raise UnknownModel(f"{folder.name}: a file of the model cannot be read: {error}") from error
    return shape_from_config(config, name=folder.name, file_bytes=size or None)


def shape_from_config(config: object, *, name: str = "", file_bytes: int | None = None) -> Shape:
    """Read a config.json that is parsed already.

    Args:
        file_bytes: the exact size of the model's tensors, where its files are at hand.

    Raises:
        UnknownModel: it describes no model that the planner knows, or lacks a value.
    """
    if not isinstance(config, Mapping):
        raise UnknownModel("A config.json is a JSON object.")
    remarks = []
    text = config
    if isinstance(config.get("text_config"), Mapping):
        text = config["text_config"]
        if file_bytes is None:
            remarks.append("The part of the model that is not about text (images, say) is not counted.")
    kind = str(text.get("model_type", config.get("model_type")))
    architecture = ARCHITECTURES.get(kind)
    if architecture is None:
        raise UnknownModel(f"The planner does not know the model type {kind!r}. It knows {', '.join(ARCHITECTURES)}.")
    size = _Sizes({**architecture.defaults, **{key: value for key, value in text.items() if value is not None}})
    hidden, heads, layers = size("hidden_size"), size("num_attention_heads"), size("num_hidden_layers")
    kv_heads = size("num_key_value_heads", heads)
    width = size("head_dim", max(1, hidden // heads))
    vocabulary = size("vocab_size")
    attention = attention_modules(hidden=hidden, heads=heads, kv_heads=kv_heads, key_width=width, value_width=width)
    feed, feed_values, router = _feed_forward(architecture, size, hidden=hidden, layers=layers)
    biases = (heads + 2 * kv_heads) * width if architecture.attention_bias or text.get("attention_bias") else 0
    linear = layers * values(attention) + feed_values
    tied = bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", architecture.tied)))
    rest = vocabulary * hidden * (1 if tied else 2) + layers * (architecture.norms * hidden + biases + router) + hidden
    return Shape(
        name=name or str(config.get("_name_or_path") or kind),
        architecture=architecture.gguf,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        key_width=width,
        value_width=width,
        intermediate=feed[0].outputs if feed else size("moe_intermediate_size", size("intermediate_size", hidden)),
        vocabulary=vocabulary,
        context=size("max_position_embeddings", 2**20),
        tied=tied,
        windows=_windows(architecture, text, size, layers),
        linear=linear,
        parameters=linear + rest,
        modules=tuple(attention + feed),
        embeds_lora=architecture.embeds_lora,
        file_bytes=file_bytes,
        file_format=_format(config),
        remarks=tuple(remarks),
    )


class _Sizes:
    """Takes positive whole numbers out of a config, or says which one is missing."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def __call__(self, key: str, default: int | None = None) -> int:
        value = self._config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**40:
            raise UnknownModel(f"{key} is {value!r} in this config.json, and must be a positive whole number.")
        return value


def _feed_forward(
    architecture: Architecture, size: _Sizes, *, hidden: int, layers: int
) -> tuple[list[Module], int, int]:
    """The modules of one layer that LoRA is attached to, the values of all layers, and those of one layer's router."""
    if not architecture.moe:
        modules = gated_modules(hidden=hidden, intermediate=size("intermediate_size"))
        return modules, layers * values(modules), 0
    experts = size("num_local_experts", size("num_experts", 1))
    expert = gated_modules(hidden=hidden, intermediate=size("moe_intermediate_size", size("intermediate_size")))
    # Adapters for mixtures of experts are those of their attention: experts cannot have any here.
    return [], layers * experts * values(expert), experts * hidden


def _windows(
    architecture: Architecture, config: Mapping[str, Any], size: _Sizes, layers: int
) -> tuple[int | None, ...]:
    has_window = config.get("sliding_window", architecture.defaults.get("sliding_window")) is not None
    window = size("sliding_window") if has_window else None
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        return tuple(window if kind == SLIDING else None for kind in kinds)
    return windows(architecture, layers, window)


def _format(config: Mapping[str, Any]) -> str:
    quantised = config.get("quantization_config")
    if isinstance(quantised, Mapping):
        return str(quantised.get("quant_method", "quantised"))
    return str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
