"""The file that an upload arrives in: it only grows, at its end, by one writer at a time."""

import fcntl
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


class Busy(Exception):
    """Somebody else is writing to the file."""


class ArrivingFile:
    """A writer at the end of a file; opening raises Busy while there is another, OSError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Busy from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def offset(self) -> int:
        """How many bytes there are."""
        return self._file.seek(0, 2)

    def append(self, piece: bytes) -> None:
        """Add bytes, which are in the file when this returns."""
        self._file.write(piece)
        self._file.flush()
