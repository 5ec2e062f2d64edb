"""Reads the members of a .tar or .tar.gz in one pass, believing none of its numbers."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from serving.adapters.reading.limits import Limits
from serving.adapters.reading.member import (
    CHUNK_BYTES,
    Member,
    bomb,
    damage_refused,
    safe_path,
    special_member,
    too_many_members,
)

_KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_GZIP = b"\x1f\x8b"


class _Meter(io.RawIOBase):
    """Lets tarfile read an unpacked stream, in small pieces and not without end.

    tarfile reads a long name or a pax header in one piece, as long as the archive says, and unpacks all that it skips.
    """

    def __init__(self, path: Path, packed: BinaryIO, unpacked: BinaryIO, limits: Limits) -> None:
        super().__init__()
        self._path = path
        self._packed = packed
        self._unpacked = unpacked
        self._limits = limits

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be skipped through."""
        return True

    def tell(self) -> int:
        """Return the place in the unpacked stream."""
        return self._unpacked.tell()

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; the way there is unpacked and counted."""
        if whence != io.SEEK_SET or place < self.tell():
            raise tarfile.ReadError("its members do not follow one another")
        while (left := place - self.tell()) > 0:
            if not self.read(min(left, CHUNK_BYTES)):
                break
        return self.tell()

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes."""
        if not 0 <= size <= CHUNK_BYTES:
            raise tarfile.ReadError("a header in it is too large")
        data = self._unpacked.read(size)
        place = self._unpacked.tell()
        if place > self._limits.total_bytes + self._limits.harmless_bytes:
            raise bomb(self._path.name, f"{self._limits.total_bytes} bytes")
        if place > max(self._limits.harmless_bytes, self._packed.tell() * self._limits.compression_ratio):
            raise bomb(self._path.name, f"{self._limits.compression_ratio} times its size")
        return data


def members(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield the regular files of a tar, each to be read before the next; raises Rejected at anything else in it."""
    with damage_refused(path.name), path.open("rb") as packed:
        zipped = packed.read(len(_GZIP)) == _GZIP
        packed.seek(0)
        # A file handed to GzipFile stays open, and its place tells how much has been unpacked.
        unpacked: BinaryIO = gzip.GzipFile(fileobj=packed) if zipped else packed  # type: ignore[assignment]
        with tarfile.open(fileobj=_Meter(path, packed, unpacked, limits), mode="r:") as archive:
            for number, entry in enumerate(archive):
                if number >= limits.members:
                    raise too_many_members(limits.members)
                name = safe_path(entry.name)
                if entry.isdir():
                    continue
                if not entry.isreg() or entry.issparse():
                    raise special_member(entry.name, _KINDS.get(entry.type, "no regular file"))
                yield Member(name, partial(_chunks, archive, entry))


def _chunks(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[bytes]:
    with damage_refused(entry.name):
        content = archive.extractfile(entry)
        if content is None:
            raise tarfile.ReadError("no content")
        with content:
            while chunk := content.read(CHUNK_BYTES):
                yield chunk
