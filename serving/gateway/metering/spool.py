"""Keeps usage records on disk while Redis is away, in files that any gateway process can take up again."""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Spool:
    """A folder of files with one JSON record a line. A file never changes once it has its final name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, records: Iterable[bytes]) -> None:
        """Put records on disk.

        Raises:
            OSError: they are not there.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"usage-{secrets.token_hex(8)}.partial"
        with partial.open("wb") as file:
            file.writelines(record + b"\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(partial.with_suffix(".jsonl"))

    @contextmanager
    def claim(self) -> Iterator[list[bytes] | None]:
        """The records of one file, for the length of a block that takes them elsewhere; None when there is no file.

        The file is deleted when the block ends well. No other process can claim it meanwhile, and when this one dies
        the claim dies with it.
        """
        for path in sorted(self._folder.glob("usage-*.jsonl")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # another process has just finished it
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue
                yield file.read().splitlines()
                path.unlink()
                return
        yield None
