"""A node's own copies of the adapters that its engines hold: what the store loses, a running engine keeps."""

import os
import shutil
import tempfile
import threading
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from serving.adapters.files import adapter_store, gguf_name


@dataclass(frozen=True, slots=True)
class Copy:
    """Where an adapter lies on this node: a PEFT folder, and the GGUF file made from it for one base model."""

    peft_folder: Path
    gguf_file: Path


class NodeCopies:
    """Copies by digest under one folder. Used by one process, from any of its threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def fetch(self, digest: str, base_model: str) -> Copy:
        """The copy of this content, made now if need be.

        Raises:
            FileNotFoundError: neither this node nor the store has it.
        """
        folder = self._root / digest
        copy = Copy(peft_folder=folder / "peft", gguf_file=folder / gguf_name(base_model))
        store = adapter_store()
        with self._lock:
            if not copy.peft_folder.is_dir():
                self._place(store.path(digest), copy.peft_folder)
            if not copy.gguf_file.is_file():
                self._place(store.derived_path(digest, gguf_name(base_model)), copy.gguf_file)
        return copy

    def keep_only(self, digests: Set[str]) -> None:
        """Delete the copies of everything else."""
        with self._lock:
            for folder in self._root.iterdir():
                if folder.name not in digests:
                    shutil.rmtree(folder)

    def _place(self, source: Path, destination: Path) -> None:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._root, prefix="incoming-") as scratch:
            scratch_copy = Path(scratch) / destination.name
            if source.is_dir():
                shutil.copytree(source, scratch_copy, copy_function=_link_or_copy)
            else:
                _link_or_copy(source, scratch_copy)
            scratch_copy.rename(destination)


def _link_or_copy(source: str | Path, destination: str | Path) -> None:
    try:
        # On the store's own file system a second name costs nothing, and it outlives the first.
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
