"""What the asyncio side asks of the compute thread, and what it gets back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import HostError
from .logprobs import TokenLogprobs
from .sampling import SamplingParams

FinishReason = Literal["stop", "length"]


@dataclass(eq=False, slots=True)
class Adapter:
    """A name that requests can ask for. The base model itself is the adapter that changes nothing.

    `retiring` and `users` (generations waiting or running) belong to the compute thread.
    """

    name: str
    path: Path | None = None
    digest: str | None = None
    pointer: Any = None
    retiring: bool = False
    users: int = 0


@dataclass(eq=False, slots=True)
class Generation:
    """One output wanted from one prompt. `sink` is the caller's: the compute thread never looks at it.

    `salt` separates caches and departments; `logprobs` asks for those of so many tokens at each place.
    """

    adapter: Adapter
    prompt: list[int]
    sampling: SamplingParams
    max_tokens: int
    sink: Any
    index: int = 0
    stops: tuple[str, ...] = ()
    ignore_eos: bool = False
    priority: int = 0
    salt: str = ""
    grammar: str | None = None
    logprobs: int | None = None
    arrived: float = field(default=0.0, init=False)
    admitted: float = field(default=0.0, init=False)
    first_token: float = field(default=0.0, init=False)
    last_token: float = field(default=0.0, init=False)
    cached: int = field(default=0, init=False)

    @property
    def department(self) -> str:
        """Whose turns it uses up: the salt's owner, or without one the adapter's."""
        return self.salt or self.adapter.name


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of an output; the last one has a finish reason. `tokens` counts the output so far."""

    text: str
    tokens: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """An output that will not be finished."""

    error: HostError


Event = Piece | Failed
