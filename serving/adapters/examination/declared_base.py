"""Compares the base model that an adapter says it was trained on with the one it was uploaded for."""

import re
from collections.abc import Sequence
from enum import Enum

_WORD = re.compile(r"\d+(?:\.\d+)*[a-z]*|[a-z]+(?:\d+(?:\.\d+)*[a-z]*)?")
_SIZE = re.compile(r"\d+(?:\.\d+)?[bm]")
# Says how the weights were packed, not which model they are.
_PACKING = frozenset(
    ["gguf", "gptq", "awq", "bnb", "4bit", "8bit", "int4", "int8", "fp8", "fp16", "f16", "bf16", "f32", "hf", "unsloth"]
)
_LOCAL = re.compile(r"[./~\\]|[A-Za-z]:[\\/]|.*/.*/|.*\\")


class Match(Enum):
    """How far the declared name agrees with the known ones."""

    SAME = "same"
    RELATED = "related"  # the same family and size: another variant, or a shorter name
    UNKNOWN = "unknown"  # absent, or a path on the trainer's machine: says nothing
    OTHER = "other"  # another model's name


def compare(declared: object, known: Sequence[str]) -> Match:
    """Compare `base_model_name_or_path` with all names that the chosen base model is known by."""
    if not isinstance(declared, str) or not declared.strip():
        return Match.UNKNOWN
    words = _words(declared)
    models = [names for names in map(_words, known) if names]
    if words and words in models:
        return Match.SAME
    if _LOCAL.match(declared) or not words or not models:
        return Match.UNKNOWN
    # A short alias ("smollm2") says nothing of the size; the base model's other names do.
    sizes, known_sizes = _sizes(words), set().union(*map(_sizes, models))
    if sizes and known_sizes and sizes.isdisjoint(known_sizes):
        return Match.OTHER
    # One name within the other tells the same family and no other size.
    if any(words <= model or model <= words for model in models):
        return Match.RELATED
    # A lone word may be a folder on the trainer's machine; with an owner or a size it names a model.
    return Match.OTHER if "/" in declared or sizes else Match.UNKNOWN


def _sizes(words: frozenset[str]) -> set[str]:
    return {word for word in words if _SIZE.fullmatch(word)}


def _words(name: str) -> frozenset[str]:
    """Return the words of a name's last path component, without those that tell the packing."""
    last = re.split(r"[\\/]", name.rstrip("\\/"))[-1].lower()
    return frozenset(_WORD.findall(last)) - _PACKING
