"""What the asyncio side asks of the compute thread, and what it gets back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import HostError
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
    """One output wanted from one prompt. `sink` is the caller's: the compute thread never looks at it."""

    adapter: Adapter
    prompt: Sequence[int]
    sampling: SamplingParams
    max_tokens: int
    sink: Any
    index: int = 0
    stops: tuple[str, ...] = ()
    ignore_eos: bool = False
    priority: int = 0
    arrived: float = 0.0
    first_token: float = field(default=0.0, init=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of an output; the last one has a finish reason. `tokens` counts the output so far."""

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An output that will not be finished."""

    error: HostError


Event = Piece | Failed
