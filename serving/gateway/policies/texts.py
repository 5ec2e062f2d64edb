"""Says how long one text of a request may be: a message, a prompt, a document, or a part of one of these."""

from collections.abc import Sequence
from typing import Any

from serving.gateway.errors import InvalidValue
from serving.gateway.policies.media import CONTENT_FIELDS

_FIELDS = (*sorted(CONTENT_FIELDS), "prompt", "instructions")
# Where content holds text, or more content. Media that comes inline is under other names, and no text.
_NAMES = ("content", "text", "output", "arguments", "thinking", "tool_calls", "function", "source")


class Texts:
    """The rule, with the most characters that a platform allows."""

    def __init__(self, most_chars: int) -> None:
        self._most = most_chars

    def check(self, body: dict[str, Any]) -> None:
        """Look at every text of a body.

        Raises:
            InvalidValue: one is too long; it names the place.
        """
        for field in _FIELDS:
            # A stack and not recursion: JSON may be nested deeper than Python calls.
            waiting: list[tuple[str, Any]] = [(field, body.get(field))]
            while waiting:
                where, value = waiting.pop()
                if isinstance(value, str):
                    if len(value) > self._most:
                        raise InvalidValue(
                            f"'{where}' has {len(value)} characters; at most {self._most} are allowed in one text on "
                            "this platform. Shorten or split it.",
                            param=where,
                        )
                else:
                    waiting += _within(where, value)


def _within(where: str, value: object) -> Sequence[tuple[str, Any]]:
    if isinstance(value, list):
        return [(f"{where}[{at}]", one) for at, one in enumerate(value) if isinstance(one, str | list | dict)]
    if isinstance(value, dict):
        # Of Messages' sources only those of plain text hold it as what others hold bytes in.
        names = (*_NAMES, "data") if value.get("type") == "text" else _NAMES
        return [(f"{where}.{name}", value[name]) for name in names if name in value]
    return ()
