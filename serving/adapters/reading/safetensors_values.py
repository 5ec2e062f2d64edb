"""Looks at the values of a safetensors file, one tensor at a time and in constant memory.

bfloat16 is handled as bits, since numpy has no such type.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.adapters.reading.safetensors_file import Tensor, unsound

_CHUNK_BYTES = 8 * 1024**2
# The bits of the exponent; all of them set mean infinity or not a number.
_EXPONENT = {"F32": 0x7F80_0000, "F16": 0x7C00, "BF16": 0x7F80}
_BITS: dict[str, np.dtype[np.unsignedinteger[Any]]] = {
    "F32": np.dtype("<u4"),
    "F16": np.dtype("<u2"),
    "BF16": np.dtype("<u2"),
}


@dataclass(frozen=True)
class Content:
    """What a look at all of a tensor's values tells; `rms` is the root of their mean square."""

    finite: bool
    zero: bool
    rms: float


def examine(path: Path, tensor: Tensor) -> Content:
    """Look at all values of a float tensor, in constant memory."""
    finite, squares = True, 0.0
    exponent = _EXPONENT[tensor.dtype]
    for bits in _chunks(path, tensor):
        finite = finite and not bool(np.any((bits & exponent) == exponent))
        if finite:
            values = _values(bits, tensor.dtype)
            # In float64: the square of a large float32 is infinite.
            squares += float(np.sum(np.square(values, dtype=np.float64)))
    return Content(finite=finite, zero=finite and not squares, rms=math.sqrt(squares / max(1, math.prod(tensor.shape))))


def load(path: Path, tensor: Tensor) -> npt.NDArray[np.float32]:
    """Return a float tensor in float32, which holds all values of the three float types exactly."""
    with path.open("rb") as file:
        file.seek(tensor.start)
        bits = np.fromfile(file, _BITS[tensor.dtype], math.prod(tensor.shape))
    return _values(bits, tensor.dtype).reshape(tensor.shape)


def _values(bits: npt.NDArray[np.unsignedinteger[Any]], dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "BF16":
        return (bits.astype("<u4") << 16).view("<f4")
    return bits.view("<f4" if dtype == "F32" else "<f2").astype("<f4", copy=False)


def _chunks(path: Path, tensor: Tensor) -> Iterator[npt.NDArray[np.unsignedinteger[Any]]]:
    kind = _BITS[tensor.dtype]
    with path.open("rb") as file:
        file.seek(tensor.start)
        left = math.prod(tensor.shape)
        while left:
            bits = np.fromfile(file, kind, min(left, _CHUNK_BYTES // kind.itemsize))
            if not bits.size:
                raise unsound(path, f"{path.name} became shorter while it was read.")
            left -= bits.size
            yield bits
