"""What every place has in common that adapters are imported from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from serving.adapters.reading.companions import is_companion
from serving.adapters.reading.names import CONFIG, WEIGHTS

# What intake unpacks; other archives it would only refuse.
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class SourceProblem(Exception):
    """The import cannot be done as it was asked for; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file at its place: its name there, its bytes, and what the place calls this content, such as an ETag."""

    name: str
    size: int
    tag: str = ""


class Origin(Protocol):
    """A place that was asked for."""

    def items(self) -> Sequence[Item]:
        """The files there; raises SourceProblem."""

    def bring(self, item: Item, folder: Path, told: Callable[[int], None]) -> None:
        """Copy one file into a folder; `told` hears of every piece's bytes, and may raise to stop it."""

    def about(self) -> dict[str, Any]:
        """What is kept of it with the version, known once `items` was called."""


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive that intake unpacks."""
    return name.lower().endswith(_ARCHIVES)


def chosen(items: Sequence[Item]) -> list[Item]:
    """The files to fetch: the adapter's two with its card and signatures, or one archive.

    Raises:
        SourceProblem: there is neither.
    """
    by_name = {item.name.rpartition("/")[2]: item for item in items}
    if CONFIG in by_name and WEIGHTS in by_name:
        companions = [item for name, item in by_name.items() if is_companion(name, item.size)]
        return [by_name[CONFIG], by_name[WEIGHTS], *companions]
    archives = [item for item in items if is_archive(item.name)]
    if len(archives) == 1:
        return archives
    there = ", ".join(sorted(by_name)[:8]) or "nothing"
    raise SourceProblem(
        f"An adapter is {CONFIG} and {WEIGHTS}, or one archive of them. There is {there[:300]}."
        + (" Name one of the archives." if archives else "")
    )


def plain_path(path: str) -> str:
    """A path below a source, without slashes around it; raises SourceProblem for one that leads elsewhere."""
    parts = [part for part in path.strip("/").split("/") if part != "."] if path.strip("/") else []
    if any(part in ("", "..") or "\0" in part or "\\" in part for part in parts) or len(path) > 1000:
        raise SourceProblem(f"{path[:100]!r} is no path below the source.")
    return "/".join(parts)
