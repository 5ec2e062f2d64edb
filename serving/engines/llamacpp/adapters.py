"""The names requests can ask for: the base model's, and those of adapters loaded at run time."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import AdapterRefused, ModelNotFound
from .generation import Adapter
from .model import Model
from .scheduler import Scheduler

_LONGEST_NAME = 256


class AdapterRegistry:
    """Belongs to the event loop; llama.cpp's part of each change runs on the compute thread."""

    def __init__(self, base_name: str, model: Model, scheduler: Scheduler) -> None:
        self._base = Adapter(base_name)
        self._model = model
        self._scheduler = scheduler
        self._loaded: dict[str, Adapter] = {}
        self._loading: set[str] = set()
        # Callers key caches by name, so a name is never reused for other bytes, even after an unload.
        self._digests: dict[str, str] = {}

    def __iter__(self) -> Iterator[Adapter]:
        """The base first, then the adapters in the order of loading."""
        yield self._base
        yield from self._loaded.values()

    def get(self, name: str) -> Adapter:
        """What a request's `model` means; ModelNotFound for anything else."""
        if name == self._base.name:
            return self._base
        if name not in self._loaded:
            raise ModelNotFound(name)
        return self._loaded[name]

    async def load(self, name: str, path: str) -> Adapter:
        """Loads a GGUF LoRA from an absolute path under a new name; AdapterRefused says what is wrong."""
        self._check_name(name)
        if not path:
            raise AdapterRefused("`lora_path` must not be empty.", param="lora_path")
        self._loading.add(name)
        try:
            adapter = await self._load(name, Path(path))
        finally:
            self._loading.remove(name)
        self._loaded[name] = adapter
        return adapter

    async def unload(self, name: str) -> None:
        """Forgets a name at once; the weights go when its last generation has ended."""
        if not name:
            raise AdapterRefused("`lora_name` must not be empty.", param="lora_name")
        adapter = self._loaded.pop(name, None)
        if adapter is None:
            raise ModelNotFound(name, param="lora_name")
        await asyncio.wrap_future(self._scheduler.call(lambda: self._scheduler.retire(adapter)))

    def _check_name(self, name: str) -> None:
        if not name:
            raise AdapterRefused("`lora_name` must not be empty.", param="lora_name")
        if len(name) > _LONGEST_NAME:
            raise AdapterRefused(f"`lora_name` is longer than {_LONGEST_NAME} characters.", param="lora_name")
        if name == self._base.name:
            raise AdapterRefused(f"`{name}` is the base model's name.", param="lora_name")
        if name in self._loaded or name in self._loading:
            raise AdapterRefused(f"The adapter `{name}` is already loaded.", param="lora_name")

    async def _load(self, name: str, path: Path) -> Adapter:
        digest = await asyncio.to_thread(_digest, path)
        if self._digests.get(name, digest) != digest:
            raise AdapterRefused(f"`{name}` was loaded before with other bytes; use a new name.", param="lora_name")
        pointer: Any = await asyncio.wrap_future(self._scheduler.call(lambda: self._model.adapter_load(path)))
        self._digests[name] = digest
        return Adapter(name, path, digest, pointer)


def _digest(path: Path) -> str:
    """SHA-256 of a file; reading it here also spares the compute thread the wait for the disk."""
    if not path.is_absolute():
        raise AdapterRefused(f"`lora_path` must be absolute, not `{path}`.", param="lora_path")
    if not path.is_file():
        raise AdapterRefused(f"`{path}` is not a file on this machine.", param="lora_path")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AdapterRefused(f"`{path}` cannot be read: {error.strerror}.", param="lora_path") from error
