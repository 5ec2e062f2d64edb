"""From where on a canary is taken back by itself."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How much worse than the stable version a canary may be.

    Attributes:
        requests: how many requests each of the two must have had before anything is decided.
        error_rate: by how many percentage points more of its requests may fail.
        slower: how many times as long its first tokens, or its whole answers, may take.
    """

    requests: int = 30
    error_rate: float = 5.0
    slower: float = 2.0

    def as_json(self) -> dict[str, Any]:
        """As `thresholds_from_json` reads it."""
        return asdict(self)


def thresholds_from_json(stored: dict[str, Any] | None) -> Thresholds | None:
    """The thresholds of a rollout; None: it has none."""
    return None if stored is None else Thresholds(**stored)
