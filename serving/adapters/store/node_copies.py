"""A node's own copies of the adapters that its engines hold: what the store loses, a running engine keeps."""

import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

from serving.adapters.store.files import adapter_store, gguf_name

_INCOMING = "incoming-"


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
        # Two engines may want one adapter at a time; different ones come beside each other.
        self._coming: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        root.mkdir(parents=True, exist_ok=True)
        for left_behind in root.glob(f"{_INCOMING}*"):
            shutil.rmtree(left_behind)

    def fetch(self, digest: str, base_model: str) -> Copy:
        """The copy of this content, made now if need be; its bytes are checked on their way.

        Raises:
            FileNotFoundError: neither this node nor the store has it.
            Damaged: the store's bytes are not those that were accepted.
            StoreUnavailable: the store does not answer.
        """
        folder = self._root / digest
        copy = Copy(peft_folder=folder / "peft", gguf_file=folder / gguf_name(base_model))
        store = adapter_store()
        with self._lock:
            coming = self._coming[digest]
        with coming:
            if not copy.peft_folder.is_dir():
                self._place(copy.peft_folder, lambda path: store.fetch(digest, path))
            if not copy.gguf_file.is_file():
                self._place(copy.gguf_file, lambda path: store.fetch_derived(digest, gguf_name(base_model), path))
        return copy

    def keep_only(self, digests: Set[str]) -> None:
        """Delete the copies of everything else."""
        with self._lock:
            for folder in self._root.iterdir():
                if folder.name not in digests and not folder.name.startswith(_INCOMING):
                    self._coming.pop(folder.name, None)
                    shutil.rmtree(folder)

    def _place(self, destination: Path, bring: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(dir=self._root, prefix=_INCOMING) as scratch:
            arriving = Path(scratch) / destination.name
            bring(arriving)
            destination.parent.mkdir(parents=True, exist_ok=True)
            arriving.rename(destination)
