"""What a bad adapter of the corpus is: one good adapter, mended into one specific evil."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_factory import SmallAdapter, small_adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Evil:
    """A name, how to write the upload into an empty folder, and by which check and words it is refused."""

    name: str
    write: Callable[[Path], object]
    check: str
    words: str


def mended(change: Callable[[SmallAdapter], object], **options: Any) -> Callable[[Path], object]:
    """How to write a good adapter after a change to what it holds in memory."""

    def write(folder: Path) -> None:
        adapter = small_adapter(**options)
        change(adapter)
        adapter.write(folder)

    return write


def configured(**options: Any) -> Callable[[Path], object]:
    """How to write a good adapter whose configuration says something else."""
    return mended(lambda adapter: adapter.config.update(options))


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """How to write a good adapter one of whose files has other bytes."""

    def write(folder: Path) -> None:
        small_adapter().write(folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return write
