"""Reads the members of a .zip, believing none of its numbers."""

import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from io import FileIO
from pathlib import Path

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

# The other methods of the format need memory as an attacker pleases.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DIRECTORY_BYTES_PER_MEMBER = 1024


class _BoundedReads(FileIO):
    """A file that cannot be read in large pieces: zipfile reads a zip's whole directory at once, however long."""

    def __init__(self, path: Path, longest: int) -> None:
        super().__init__(path)
        self._longest = longest

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes."""
        if size is not None and size > self._longest:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size) or b""


def members(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield the regular files of a zip; raises Rejected for anything else in it, before any is yielded."""
    longest_read = max(CHUNK_BYTES, limits.members * _DIRECTORY_BYTES_PER_MEMBER)
    with damage_refused(path.name), _BoundedReads(path, longest_read) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > limits.members:
            raise too_many_members(limits.members)
        for entry in entries:
            _check(entry, limits)
        if sum(entry.file_size for entry in entries) > limits.total_bytes:
            raise bomb(path.name, f"{limits.total_bytes} bytes")
        for entry in entries:
            if not entry.is_dir():
                yield Member(safe_path(entry.filename), partial(_chunks, archive, entry, limits))


def _check(entry: zipfile.ZipInfo, limits: Limits) -> None:
    name = entry.orig_filename  # as it stands in the file; zipfile cuts `filename` at a NUL
    safe_path(name)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise special_member(name, "a link" if kind == stat.S_IFLNK else "a device")
    if entry.flag_bits & _ENCRYPTED:
        raise special_member(name, "encrypted")
    if entry.compress_type not in _METHODS:
        raise special_member(name, "compressed by a method other than deflate")
    _check_ratio(entry, entry.file_size, limits)


def _check_ratio(entry: zipfile.ZipInfo, unpacked: int, limits: Limits) -> None:
    if unpacked > max(limits.harmless_bytes, entry.compress_size * limits.compression_ratio):
        raise bomb(entry.filename, f"{limits.compression_ratio} times its size")


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> Iterator[bytes]:
    unpacked = 0
    with damage_refused(entry.filename), archive.open(entry) as content:
        while chunk := content.read(CHUNK_BYTES):
            unpacked += len(chunk)
            _check_ratio(entry, unpacked, limits)
            yield chunk
