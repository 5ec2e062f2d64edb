"""Keeps accepted adapters by the digest of their bytes: written once, never changed, the same bytes once."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from serving.adapters.digest import DIGEST, adapter_digest, manifest

_DERIVED_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}")


class AdapterStore:
    """A folder: `content/<digest>/` holds what was uploaded, `derived/<digest>/` what was made from it.

    Any number of processes may use it at once.
    """

    def __init__(self, root: Path) -> None:
        self._content = root / "content"
        self._derived = root / "derived"
        self._incoming = root / "incoming"

    def put(self, adapter_dir: Path) -> str:
        """Keep a copy of a flat folder of files and return its digest."""
        for folder in (self._content, self._derived, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._incoming) as scratch:
            copy = Path(scratch) / "adapter"
            copy.mkdir()
            for file in sorted(adapter_dir.iterdir()):
                _copy_file(file, copy / file.name)
            # Of the copy, so that a source that changes meanwhile cannot come to lie under another's name.
            digest = adapter_digest(manifest(copy))
            _sync_folder(copy)
            self._place(copy, digest)
        return digest

    def path(self, digest: str) -> Path:
        """Return the folder of this content, whether it is there or not; raises ValueError for what is no digest."""
        return self._content / _checked(digest)

    def derived_path(self, digest: str, name: str) -> Path:
        """Return where a file made from this content belongs; its folder is there afterwards."""
        if not _DERIVED_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain file name")
        folder = self._derived / _checked(digest)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def holds(self, digest: str) -> bool:
        """Whether the content is there."""
        return self.path(digest).is_dir()

    def verify(self, digest: str) -> bool:
        """Whether the content is there and still has the bytes that it is named after; reads all of it."""
        folder = self.path(digest)
        return folder.is_dir() and adapter_digest(manifest(folder)) == digest

    def remove(self, digest: str) -> None:
        """Delete this content and what was made from it; nothing happens when it is not there."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        for folder in (self._derived / _checked(digest), self.path(digest)):
            # Renamed first: a name in the store always stands for whole content.
            with tempfile.TemporaryDirectory(dir=self._incoming) as scratch:
                try:
                    folder.rename(Path(scratch) / "removed")
                except FileNotFoundError:
                    continue

    def _place(self, copy: Path, digest: str) -> None:
        try:
            copy.rename(self.path(digest))
        except OSError:
            # It is there already, the same bytes under the same digest; a folder is never renamed onto a full one.
            if not self.path(digest).is_dir():
                raise
            return
        _sync_folder(self._content)


def _checked(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    return digest


def _copy_file(source: Path, destination: Path) -> None:
    with source.open("rb") as original, destination.open("xb") as copy:
        shutil.copyfileobj(original, copy, 1024**2)
        copy.flush()
        os.fsync(copy.fileno())
    destination.chmod(0o444)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
