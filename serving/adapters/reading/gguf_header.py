"""Reads a GGUF file's metadata in milliseconds: values are decoded, long arrays are only measured.

gguf's own reader builds an object per token of the vocabulary, which takes seconds. Layout:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# No key or string of metadata comes near; a chat template has tens of kilobytes.
LONGEST_STRING = 16 * 1024**2
MOST_KEYS = 100_000
MOST_TENSORS = 100_000
MOST_DIMENSIONS = 4


class _ValueType(IntEnum):
    """The format's types of values; the package gguf has them too, and takes 100 ms to import."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_SCALARS = {
    _ValueType.UINT8: "<B",
    _ValueType.INT8: "<b",
    _ValueType.UINT16: "<H",
    _ValueType.INT16: "<h",
    _ValueType.UINT32: "<I",
    _ValueType.INT32: "<i",
    _ValueType.FLOAT32: "<f",
    _ValueType.BOOL: "<?",
    _ValueType.UINT64: "<Q",
    _ValueType.INT64: "<q",
    _ValueType.FLOAT64: "<d",
}


_LENGTH = struct.Struct("<Q")
_CUT = "the file ends in the middle of its metadata"


class NotGguf(ValueError):
    """The file is no GGUF file, or a damaged one."""


@dataclass(frozen=True)
class ArrayLength:
    """Stands for an array in the metadata, whose elements are not read."""

    count: int


Value = str | int | float | bool | ArrayLength


class _Cursor:
    """Walks through mapped bytes and never past their end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def skip(self, count: int) -> None:
        if count > len(self._data) - self._place:
            raise NotGguf(_CUT)
        self._place += count

    def scalar(self, layout: str) -> int | float | bool:
        start = self._place
        self.skip(struct.calcsize(layout))
        value: int | float | bool = struct.unpack_from(layout, self._data, start)[0]
        return value

    def count(self) -> int:
        return int(self.scalar("<Q"))

    def string(self) -> str:
        length = self.count()
        if length > LONGEST_STRING:
            raise NotGguf(f"a string of {length} bytes in the metadata")
        start = self._place
        self.skip(length)
        return self._data[start : self._place].decode("utf-8", errors="replace")

    def value(self) -> Value:
        kind = self._kind()
        if kind is _ValueType.STRING:
            return self.string()
        if kind is not _ValueType.ARRAY:
            return self.scalar(_SCALARS[kind])
        element = self._kind()
        count = self.count()
        if element is _ValueType.ARRAY:
            raise NotGguf("an array of arrays in the metadata")
        if element is _ValueType.STRING:
            self._skip_strings(count)
        else:
            self.skip(count * struct.calcsize(_SCALARS[element]))
        return ArrayLength(count)

    def _skip_strings(self, count: int) -> None:
        # A vocabulary has hundreds of thousands: in a loop without calls of its own they take a sixth of the time.
        data, place, end = self._data, self._place, len(self._data) - _LENGTH.size
        unpack, width = _LENGTH.unpack_from, _LENGTH.size
        for _ in range(count):
            if place > end:
                raise NotGguf(_CUT)
            place += width + unpack(data, place)[0]
        self.skip(place - self._place)

    def _kind(self) -> _ValueType:
        number = int(self.scalar("<I"))
        try:
            return _ValueType(number)
        except ValueError:
            raise NotGguf(f"unknown type {number} in the metadata") from None


@dataclass(frozen=True)
class TensorSize:
    """How large a tensor of the file is: its number of values, and the bytes that they take."""

    values: int
    bytes: int


def read_metadata(path: Path) -> dict[str, Value]:
    """Return all metadata of a GGUF file; raises NotGguf, or OSError when the file cannot be read."""
    with _opened(path) as cursor:
        return _metadata(cursor)[1]


def read_tensor_sizes(path: Path) -> dict[str, TensorSize]:
    """Return the size of every tensor by its name; raises NotGguf, or OSError when the file cannot be read."""
    with _opened(path) as cursor:
        count, _ = _metadata(cursor)
        if count > MOST_TENSORS:
            raise NotGguf(f"{count} tensors")
        return dict(_tensor_size(cursor) for _ in range(count))


@contextmanager
def _opened(path: Path) -> Iterator[_Cursor]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise NotGguf("the file does not begin with GGUF")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            cursor = _Cursor(data)
            cursor.skip(len(MAGIC))
            yield cursor


def _metadata(cursor: _Cursor) -> tuple[int, dict[str, Value]]:
    """Read what comes before the tensors: their number, and the metadata."""
    version = int(cursor.scalar("<I"))
    if version not in VERSIONS:
        raise NotGguf(f"GGUF version {version}; known are 2 and 3, little-endian")
    tensors = cursor.count()
    keys = cursor.count()
    if keys > MOST_KEYS:
        raise NotGguf(f"{keys} keys in the metadata")
    return tensors, {cursor.string(): cursor.value() for _ in range(keys)}


def _tensor_size(cursor: _Cursor) -> tuple[str, TensorSize]:
    # Imported late, for its 100 ms: the metadata is read by processes that live for less.
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    name = cursor.string()
    dimensions = int(cursor.scalar("<I"))
    if dimensions > MOST_DIMENSIONS:
        raise NotGguf(f"tensor {name} has {dimensions} dimensions")
    values = math.prod(cursor.count() for _ in range(dimensions))
    number = int(cursor.scalar("<I"))
    cursor.skip(8)  # where it lies
    try:
        per_block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(number)]
    except (ValueError, KeyError):
        raise NotGguf(f"tensor {name} has the unknown type {number}") from None
    return name, TensorSize(values, values // per_block * block_bytes)
