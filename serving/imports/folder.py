"""A folder of the server as a place to import from: nothing outside it can be reached, by whatever links."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.imports.origin import Item, SourceProblem, is_archive, plain_path

_CHUNK_BYTES = 1024**2
# A folder that holds an adapter has a few files; more are not looked through.
_MOST_FILES = 1000


class FolderOrigin:
    """A folder or an archive below the folder that a setting names.

    Every part of the path is opened from the one before without following links, so that nobody who may write below
    the folder can lead the platform out of it, not even while it looks.
    """

    def __init__(self, name: str, root: Path, path: str) -> None:
        self._name = name
        self._root = root
        self._path = plain_path(path)
        folder, _, last = self._path.rpartition("/")
        self._file = last if is_archive(last) else ""
        self._folder = folder if self._file else self._path
        self._modified: dict[str, str] = {}

    def items(self) -> Sequence[Item]:
        """The plain files there."""
        with self._opened() as folder:
            names = [self._file] if self._file else sorted(os.listdir(folder))[:_MOST_FILES]
            found = []
            for name in names:
                try:
                    about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    raise self._nothing() from None
                if stat.S_ISREG(about.st_mode):
                    found.append(Item(name=name, size=about.st_size, tag=str(about.st_mtime_ns)))
        if self._file and not found:
            raise SourceProblem(f"{self._path} is no plain file; links are not followed.")
        return found

    def bring(self, item: Item, folder: Path, told: Callable[[int], None]) -> None:
        """Copy one file; raises SourceProblem when it is no plain file (any more)."""
        with self._opened() as here:
            try:
                # Not blocking: a pipe in its place must not hold the worker.
                handle = os.open(item.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
            except OSError as error:
                raise SourceProblem(f"{item.name} cannot be read: {error.strerror}.") from error
        with os.fdopen(handle, "rb") as file, (folder / item.name).open("xb") as copy:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceProblem(f"{item.name} is no plain file.")
            while piece := file.read(_CHUNK_BYTES):
                copy.write(piece)
                told(len(piece))

    def about(self) -> dict[str, Any]:
        """Which folder, and where in it."""
        return {"kind": "folder", "name": self._name, "path": self._path}

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            handle = os.open(self._root, flags)
        except OSError as error:
            raise SourceProblem(f"The platform cannot open the folder {self._name}: {error.strerror}.") from error
        try:
            for part in self._folder.split("/") if self._folder else ():
                try:
                    below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=handle)
                except OSError:
                    raise self._nothing() from None
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def _nothing(self) -> SourceProblem:
        return SourceProblem(f"There is no folder or archive {self._path} in {self._name}; links are not followed.")
