"""Where adapters lie on disk: the store of accepted content, and the staging folders of uploads."""

import shutil
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files.storage import storages

from polygraft.conf import config
from serving.adapters.store.contents import AdapterStore, Files

_CHUNK_BYTES = 1024 * 1024


@cache
def adapter_store() -> AdapterStore:
    """The platform's content-addressed store."""
    return AdapterStore(cast(Files, storages["adapters"]), scratch=config().home / "tmp")


def gguf_name(base_model: str) -> str:
    """What the GGUF file made from an adapter for a base model is called; the same bytes may suit two base models."""
    return f"{base_model}.gguf"


def upload_folder(version_id: int) -> Path:
    """Where an uploaded version waits for validation."""
    return config().home / "uploads" / str(version_id)


def stage_files(files: Sequence[tuple[str, BinaryIO | Path]]) -> Path:
    """Bring what a client sent into a new staging folder, each file under the last part of its client name.

    What can be read is copied; a path, which lies in the state folder, is linked.

    Raises:
        ValueError: no file, a name that cannot be a file's, or one name twice.
    """
    if not files:
        raise ValueError("No file was sent. Send adapter_config.json and adapter_model.safetensors, or one archive.")
    folder = config().home / "uploads" / f"incoming-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        for client_name, content in files:
            name = client_name.replace("\\", "/").rsplit("/", 1)[-1]
            if name in ("", ".", "..") or "\0" in name or len(name.encode()) > 200:
                raise ValueError(f"A file cannot be called {client_name[:100]!r}.")
            try:
                if isinstance(content, Path):
                    (folder / name).hardlink_to(content)
                    continue
                with (folder / name).open("xb") as file:
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)
            except FileExistsError:
                raise ValueError(f"Two files are called {name}.") from None
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder
