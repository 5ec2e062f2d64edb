"""What a model is made of, as far as its size in memory depends on it."""

from dataclasses import dataclass
from typing import Literal

# How vLLM cuts a module for several GPUs: by its outputs ("column") or by its inputs ("row").
Cut = Literal["column", "row"]


class UnknownModel(ValueError):
    """The planner cannot tell how large this model is; the message says why, and what it can read."""


@dataclass(frozen=True, slots=True)
class Module:
    """A linear module that LoRA can be attached to."""

    inputs: int
    outputs: int
    cut: Cut


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer. Counts are of values, not bytes.

    `windows` has an entry per layer: the width of its sliding attention, or None where it sees everything. `linear` are
    the values of the matrices that quantisation packs; the rest of `parameters` (embeddings, head, norms) stays at 16
    bits in vLLM's formats. `modules` are those of one layer; `embeds_lora` says that vLLM reserves LoRA slots for the
    embedding and the head too. `file_bytes` is the exact size of the tensors where files were read, in `file_format`.
    """

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    intermediate: int
    vocabulary: int
    context: int
    tied: bool
    windows: tuple[int | None, ...]
    linear: int
    parameters: int
    modules: tuple[Module, ...]
    embeds_lora: bool = False
    file_bytes: int | None = None
    file_format: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def kv_values_per_token(self) -> int:
        """Values that one token keeps in the KV cache, over all layers."""
        return self.layers * self.kv_heads * (self.key_width + self.value_width)


def attention_modules(*, hidden: int, heads: int, kv_heads: int, key_width: int, value_width: int) -> list[Module]:
    """The four matrices of one layer's attention."""
    return [
        Module(hidden, heads * key_width, "column"),
        Module(hidden, kv_heads * key_width, "column"),
        Module(hidden, kv_heads * value_width, "column"),
        Module(heads * value_width, hidden, "row"),
    ]


def gated_modules(*, hidden: int, intermediate: int) -> list[Module]:
    """The three matrices of one layer's gated feed-forward part."""
    return [
        Module(hidden, intermediate, "column"),
        Module(hidden, intermediate, "column"),
        Module(intermediate, hidden, "row"),
    ]


def values(modules: list[Module]) -> int:
    """How many values the matrices have."""
    return sum(module.inputs * module.outputs for module in modules)
