"""Events as gateways note them, in a list in Redis: they have no database at hand, and a worker takes them in."""

from dataclasses import dataclass

import orjson

EVENT_NOTES_KEY = "polygraft:event-notes"
# Notes that nobody takes in are not kept for ever: `LTRIM key -1000 -1` after each `RPUSH`.
EVENT_NOTES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class EventNote:
    """The arguments of `serving.events.event_record`, with ids instead of objects."""

    kind: str
    sentence: str
    is_problem: bool = False
    engine_id: str = ""
    base_model_id: int | None = None
    department_id: int | None = None

    def as_bytes(self) -> bytes:
        """What is pushed to the right end of the list at `EVENT_NOTES_KEY`."""
        return orjson.dumps(self)
