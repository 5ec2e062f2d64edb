"""What every engine driver does: start, probe, measure, load and list and unload adapters, stop."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from serving.engines.kinds import EngineKind
from serving.engines.process import EngineProcess


class EngineError(Exception):
    """An engine did not do as asked; the message is fit for an admin's eyes."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What to run.

    `base_model` is the name under which the engine serves its base; `model_path` is a GGUF file or a Hugging Face
    folder, by the kind of engine; `gpus` are the indices of those it may use, none: whichever there are; `options`
    come from the deployment; a `tethered` engine ends with the process that starts it; one that `takes_adapters` makes
    room for them.
    """

    id: str
    base_model: str
    model_path: Path
    host: str
    log_path: Path
    gpus: tuple[int, ...] = ()
    tethered: bool = False
    takes_adapters: bool = True
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine says it is: requests running and waiting, the share of its KV cache in use (1 is all of it),
    and the tokens that it has generated since its start.
    """

    running: int
    waiting: int
    kv_usage: float
    generated: int


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter version as it lies on this node: a PEFT folder, and the GGUF file made from it."""

    name: str
    peft_folder: Path
    gguf_file: Path


class Driver(Protocol):
    """One kind of engine. Calls block for seconds at most, except where a limit is given."""

    kind: EngineKind

    def start(self, spec: EngineSpec) -> EngineProcess:
        """Start the process; it need not answer yet.

        Raises:
            EngineError: it cannot be started here (a missing file, an option that it does not know).
            OSError: nor can its log be written, or its program be run.
        """

    def probe(self, engine: EngineProcess, model: str) -> None:
        """Have a model do the least that it is made for: a token, an embedding, a score.

        Raises:
            EngineError: it did not.
        """

    def load(self, engine: EngineProcess) -> EngineLoad | None:
        """How busy it is; None when it does not say."""

    def load_adapter(self, engine: EngineProcess, adapter: AdapterFiles) -> None:
        """Make an adapter callable under its name. Loading what is loaded already is no error.

        Raises:
            EngineError: the engine refused it.
        """

    def unload_adapter(self, engine: EngineProcess, name: str) -> None:
        """Let go of an adapter; what it is generating is finished first. An unknown name is no error.

        Raises:
            EngineError: the engine refused.
        """

    def loaded_adapters(self, engine: EngineProcess) -> set[str]:
        """The names of the adapters that the engine says it has loaded.

        Raises:
            EngineError: it does not say.
        """

    def stop(self, engine: EngineProcess) -> None:
        """Ask the process to finish what it is doing and end; returns at once."""
