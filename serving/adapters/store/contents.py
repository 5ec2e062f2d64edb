"""Keeps accepted adapters by the digest of their bytes: written once, never changed, the same bytes once."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from django.core.files import File

from serving.adapters.reading.digest import DIGEST, adapter_digest, file_digest, manifest
from serving.adapters.reading.names import CONFIG, WEIGHTS
from serving.adapters.store.store_errors import Damaged, StoreUnavailable

_DERIVED_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}")
_CHECKSUM = ".sha256"


class Files(Protocol):
    """What the store needs of a Django storage: names with slashes, files that are whole or not there."""

    def save(self, name: str, content: "File[bytes]") -> str:
        """Write a file, in place of one of that name."""

    def bring(self, name: str, destination: Path) -> None:
        """Have a file at a new path; raises FileNotFoundError."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Folders and files of a folder."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""

    def get_modified_time(self, name: str) -> datetime:
        """When a file was written; raises FileNotFoundError."""

    def unfinished_remove(self, before: datetime) -> int:
        """Remove what is left of files whose writing broke off before then; how many."""


class AdapterStore:
    """`content/<digest>/` holds what was uploaded, `derived/<digest>/` what was made from it, each with its SHA-256.

    Any number of processes on any number of machines may use it at once. What is being written is nobody's yet: a
    version names a digest only when `put` has returned. `scratch` is a folder of this machine.
    """

    def __init__(self, files: Files, scratch: Path) -> None:
        self._files = files
        self._scratch = scratch

    def put(self, adapter_dir: Path) -> str:
        """Keep a copy of a flat folder of files, read it back, and return its digest.

        Always written, also when it is there already: how long it takes tells nobody what others have.

        Raises:
            OSError: it cannot be written; what can be read is not what was written.
        """
        digest = adapter_digest(manifest(adapter_dir))
        for path in sorted(adapter_dir.iterdir()):
            self._write(f"content/{digest}/{path.name}", path)
        # Of what the store gives back: neither a disk that lies nor a source that changes meanwhile goes unnoticed.
        if not self.verify(digest):
            raise StoreUnavailable(f"The store does not give back what was written to it (content {digest[:12]}).")
        return digest

    def put_derived(self, digest: str, name: str, made: Path) -> None:
        """Keep a file that was made from this content, in place of one of the same name."""
        key = self._derived(digest, name)
        checksum = file_digest(made)
        with self._scratch_folder() as folder:
            (folder / "checksum").write_text(checksum)
            self._write(key + _CHECKSUM, folder / "checksum")
        self._write(key, made)
        with self._scratch_folder() as folder:
            self._files.bring(key, folder / "read")
            if file_digest(folder / "read") != checksum:
                raise StoreUnavailable(f"The store does not give back what was written to it ({key}).")

    def holds_derived(self, digest: str, name: str) -> bool:
        """Whether this file has been made already."""
        return self._files.exists(self._derived(digest, name))

    def fetch(self, digest: str, folder: Path) -> None:
        """Have this content in a new folder, every byte checked.

        Raises:
            FileNotFoundError: the store has it not.
            Damaged: it has other bytes.
            StoreUnavailable: it does not answer.
        """
        names = self._names(digest)
        if not names:
            raise FileNotFoundError(f"The store has no content {digest}.")
        folder.mkdir()
        for name in names:
            self._files.bring(f"content/{digest}/{name}", folder / name)
        if adapter_digest(manifest(folder)) != digest:
            raise Damaged(f"The store's bytes of {digest} are not those that were accepted.")

    def fetch_derived(self, digest: str, name: str, file: Path) -> None:
        """Have a file made from this content at a new path, checked; errors as of `fetch`."""
        key = self._derived(digest, name)
        self._files.bring(key, file)
        with self._scratch_folder() as folder:
            try:
                self._files.bring(key + _CHECKSUM, folder / "checksum")
            except FileNotFoundError:
                # Made before checksums were kept beside it.
                return
            if file_digest(file) != (folder / "checksum").read_text():
                raise Damaged(f"The store's bytes of {name} of {digest} are not those that were made.")

    def holds(self, digest: str) -> bool:
        """Whether the content is there with both of its files, by their names."""
        return {CONFIG, WEIGHTS} <= set(self._names(digest))

    def verify(self, digest: str) -> bool:
        """Whether the content is there and still has the bytes that it is named after; reads all of it."""
        with self._scratch_folder() as folder:
            try:
                self.fetch(digest, folder / "content")
            except (FileNotFoundError, Damaged):
                return False
        return True

    def remove(self, digest: str) -> None:
        """Delete this content and what was made from it; nothing happens when it is not there."""
        for kind in ("derived", "content"):
            folder = f"{kind}/{_checked(digest)}"
            for name in self._listed(folder):
                self._files.delete(f"{folder}/{name}")

    def digests(self) -> set[str]:
        """All of which there is anything."""
        return {name for kind in ("derived", "content") for name in self._folders(kind) if DIGEST.fullmatch(name)}

    def changed_since(self, digest: str, moment: datetime) -> bool:
        """Whether a file of this content, or made from it, was written or removed since then."""
        folders = [f"{kind}/{_checked(digest)}" for kind in ("derived", "content")]
        names = [f"{folder}/{name}" for folder in folders for name in self._listed(folder)]
        try:
            return any(self._files.get_modified_time(name) >= moment for name in names)
        except FileNotFoundError:
            return True

    def unfinished_remove(self, before: datetime) -> int:
        """Remove what is left of files whose writing broke off before then; how many."""
        return self._files.unfinished_remove(before)

    def _names(self, digest: str) -> list[str]:
        return self._listed(f"content/{_checked(digest)}")

    def _listed(self, folder: str) -> list[str]:
        try:
            # A store that is being written to may list a name twice.
            return sorted(set(self._files.listdir(folder)[1]))
        except FileNotFoundError:
            return []

    def _folders(self, folder: str) -> list[str]:
        try:
            return self._files.listdir(folder)[0]
        except FileNotFoundError:
            return []

    def _derived(self, digest: str, name: str) -> str:
        if not _DERIVED_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain file name")
        return f"derived/{_checked(digest)}/{name}"

    def _write(self, key: str, path: Path) -> None:
        with path.open("rb") as file:
            self._files.save(key, File(file, name=path.name))

    @contextmanager
    def _scratch_folder(self) -> Iterator[Path]:
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="store-") as folder:
            yield Path(folder)


def _checked(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    return digest
