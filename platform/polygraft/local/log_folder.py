"""Follows the engines' log files, which the node agent writes into one folder."""

from collections.abc import Iterator
from pathlib import Path


class LogFolder:
    """Reads what is added to the files of a folder, in files that exist already and in new ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets = {path: path.stat().st_size for path in folder.glob("*.log")}

    def new_lines(self) -> Iterator[str]:
        """The whole lines that were added since the last time."""
        for path in sorted(self._folder.glob("*.log")):
            size, offset = path.stat().st_size, self._offsets.get(path, 0)
            if size < offset:  # its node has moved it aside and emptied it
                offset = self._offsets[path] = 0
            if size == offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                added = file.read()
            complete = added[: added.rfind(b"\n") + 1]
            self._offsets[path] = offset + len(complete)
            yield from complete.decode(errors="replace").splitlines()
