"""Reads the header of a safetensors file defensively, bounded and checked, and none of its values.

Format: https://github.com/huggingface/safetensors#format.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.adapters.examination.report import Rejected, shown

_LENGTH_BYTES = 8
_HIGHEST_DIMENSIONS = 8
_METADATA = "__metadata__"
_ADVICE = "Upload the file again; if that does not help, save the adapter again with PEFT's save_pretrained."
# Every type of the format, in bytes per element; which of them an adapter may use is for the checks to say.
_ELEMENT_BYTES = {
    dtype: size
    for size, dtypes in {
        8: ("F64", "I64", "U64"),
        4: ("F32", "I32", "U32"),
        2: ("F16", "BF16", "I16", "U16"),
        1: ("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"),
    }.items()
    for dtype in dtypes
}
# The types that an adapter may have.
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `start` and `end` are bytes from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path, longest: int) -> dict[str, Tensor]:
    """Return a file's tensors by name, all places checked; raises Rejected when the file is not sound."""
    size = path.stat().st_size
    if size <= _LENGTH_BYTES:
        raise unsound(path, f"{path.name} has {size} bytes: it is empty or cut off.", found=f"{size} bytes")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > min(longest, size - _LENGTH_BYTES):
            raise unsound(
                path,
                f"{path.name} announces a header of {length} bytes, but the file has {size}: it is cut off, "
                "or no safetensors file.",
                expected=f"a header of at most {min(longest, size - _LENGTH_BYTES)} bytes",
                found=f"{length} bytes",
            )
        raw = _parse(path, file.read(length))
    tensors: dict[str, Tensor] = {}
    for name, entry in raw.items():
        if name != _METADATA:
            tensors[name] = _tensor(path, name, entry, _LENGTH_BYTES + length)
        elif not (isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())):
            raise unsound(path, f"{path.name}: the header's {_METADATA} holds something other than texts.")
    _check_places(path, tensors, _LENGTH_BYTES + length, size)
    return tensors


def _parse(path: Path, header: bytes) -> Mapping[str, Any]:
    try:
        raw = json.loads(header.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise unsound(
            path,
            f"{path.name} is no safetensors file: its header is not valid JSON ({shown(error, 80)}).",
            expected="a JSON header",
            found=shown(header[:40]),
        ) from None
    if not isinstance(raw, dict):
        raise unsound(path, f"{path.name} is no safetensors file: its header is not a JSON object.")
    return raw


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice")
    return result


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> Tensor:
    """Turn one entry of the header into a Tensor whose size agrees with its type and shape."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)], **others} if not (
            others or isinstance(begin, bool) or isinstance(end, bool)
        ):
            pass
        case _:
            raise unsound(path, f"{path.name}: the header's entry for {shown(name)} is malformed.", tensor=shown(name))
    if dtype not in _ELEMENT_BYTES:
        raise unsound(path, f"{path.name}: {shown(name)} has the unknown type {shown(dtype)}.", tensor=shown(name))
    if len(shape) > _HIGHEST_DIMENSIONS or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise unsound(path, f"{path.name}: {shown(name)} has an impossible shape.", tensor=shown(name))
    expected = math.prod(shape) * _ELEMENT_BYTES[dtype]
    if not 0 <= begin <= end or end - begin != expected:
        raise unsound(
            path,
            f"{path.name}: {shown(name)} takes {shown(end - begin, 40)} bytes, its shape and type need {expected}.",
            tensor=shown(name),
            expected=f"{expected} bytes",
            found=f"{shown(end - begin, 40)} bytes",
        )
    return Tensor(name, dtype, tuple(shape), data_start + begin, data_start + end)


def _check_places(path: Path, tensors: Mapping[str, Tensor], data_start: int, size: int) -> None:
    """Refuse overlaps, holes, and a file that ends before or after its last tensor."""
    place = data_start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != place:
            kind = "overlaps the tensor before it" if tensor.start < place else "leaves a hole before it"
            raise unsound(path, f"{path.name}: {shown(tensor.name)} {kind}.", tensor=shown(tensor.name))
        place = tensor.end
    if place != size:
        problem = "is truncated" if place > size else "has bytes that belong to no tensor"
        raise unsound(
            path,
            f"{path.name} {problem}: its header describes {place} bytes, the file has {size}.",
            expected=f"{place} bytes",
            found=f"{size} bytes",
        )


def unsound(path: Path, message: str, **where: str) -> Rejected:
    """What to raise about a file that is no whole safetensors file."""
    return Rejected("safetensors", message, file=path.name, advice=_ADVICE, **where)
