"""The store's files in a folder of the machine: whole or not at all under their names, and never changed."""

import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage

_CHUNK_BYTES = 1024**2


class FolderStorage(FileSystemStorage):
    """Django's storage in a folder, which writes to a temporary name, syncs and renames; equal names hold equal bytes.

    Any number of processes may use it at once.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """The name itself: what is there under it already has the same bytes, or is damaged."""
        return name

    def bring(self, name: str, destination: Path) -> None:
        """Have a file at a new path, as a second name of it where that can be done.

        Raises:
            FileNotFoundError: there is no such file.
        """
        source = self.path(name)
        try:
            # On the store's own file system a second name costs nothing, and it outlives the first.
            os.link(source, destination)
        except OSError:
            # Another file system; or an equal file was just put in its place, and the old one has no name any more.
            shutil.copyfile(source, destination)

    def delete(self, name: str) -> None:
        """Delete a file, and its folder when that is empty then; nothing happens when it is not there."""
        path = Path(self.path(name))
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            return

    def unfinished_remove(self, before: datetime) -> int:
        """Remove what is left of files whose writing broke off before then; how many."""
        old = [left for left in Path(self.path("incoming")).glob("*") if left.stat().st_mtime < before.timestamp()]
        for left in old:
            left.unlink(missing_ok=True)
        return len(old)

    def _save(self, name: str, content: Any) -> str:
        final = Path(self.path(name))
        incoming = Path(self.path("incoming"))
        for folder in (incoming, final.parent):
            folder.mkdir(parents=True, exist_ok=True)
        handle, arriving = tempfile.mkstemp(dir=incoming)
        try:
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(content, file, _CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o444)
            self._place(arriving, final)
        except BaseException:
            Path(arriving).unlink(missing_ok=True)
            raise
        return name

    def _place(self, arriving: str, final: Path) -> None:
        try:
            os.replace(arriving, final)
        except FileNotFoundError:
            # Its folder was empty for a moment, and somebody who deleted took it away.
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(arriving, final)
        for folder in (final.parent, final.parent.parent):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
