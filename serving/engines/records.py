"""What a node remembers of its engines' processes, so that a new worker finds those of an earlier one."""

import os
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import orjson
import structlog

from serving.engines.identity import ProcessIdentity
from serving.engines.process import EngineProcess

log = structlog.get_logger()


class Records:
    """A folder with a file per engine, which only its owner may read, since it holds the engine's secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, process: EngineProcess, given: Collection[str]) -> None:
        """Remember a process, and the names of the adapters that it was ever given.

        Raises:
            OSError: it cannot be written.
        """
        record = {
            "identity": asdict(process.identity),
            "command": process.command,
            "address": process.address,
            "secret": process.secret,
            "log_path": str(process.log_path),
            "given": sorted(given),
        }
        path = self._path(process.engine_id)
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(record))
        scratch.rename(path)

    def find(self, engine_id: str) -> EngineProcess | None:
        """The process of an engine, if it still runs what it was started as; None otherwise."""
        process = self.last(engine_id)
        if process is not None and process.identity.lives() and process.identity.runs(process.command):
            return process
        return None

    def last(self, engine_id: str) -> EngineProcess | None:
        """The process that was last started for an engine, whether it still runs or not."""
        try:
            record = orjson.loads(self._path(engine_id).read_bytes())
            return EngineProcess(
                engine_id=engine_id,
                identity=ProcessIdentity(**record["identity"]),
                command=record["command"],
                address=record["address"],
                secret=record["secret"],
                log_path=Path(record["log_path"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            log.exception("record of an engine is unreadable", engine=engine_id)
            return None

    def given(self, engine_id: str) -> set[str]:
        """The names of the adapters that an engine was ever given."""
        try:
            return set(orjson.loads(self._path(engine_id).read_bytes())["given"])
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def forget(self, engine_id: str) -> None:
        """Forget an engine."""
        self._path(engine_id).unlink(missing_ok=True)

    def engine_ids(self) -> list[str]:
        """The engines that are remembered."""
        return [path.stem for path in self._folder.glob("*.json")]

    def _path(self, engine_id: str) -> Path:
        return self._folder / f"{engine_id}.json"
