"""Says which images and other media a request may carry: inline ones, and those of hosts that are allowed.

Engines would fetch any address for any caller. They also keep media that callers gave a name, and would show one
department's to another; and they take embeddings in place of media without looking at them.
"""

import re
from collections.abc import Iterable
from typing import Any

from serving.gateway.errors import InvalidValue

# The fields that hold content, by endpoint or dialect.
CONTENT_FIELDS = frozenset(
    {
        *("messages", "input", "system", "query", "documents"),
        *("queries", "items", "data_1", "data_2", "text_1", "text_2"),
    }
)
# Where content holds content: in messages, in results of tools, and in the documents that are to be scored.
_NESTED = ("content", "output")
_PLAIN_TEXT = frozenset({"type", "text"})
_INLINE = "data:"
# Nothing that two parsers could read as two hosts.
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+)(?::\d{1,5})?(?:[/?#][^\s\\]*)?")


class Media:
    """The rule, with the hosts that a platform allows."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, field: str, value: Any) -> None:
        """Look at the content in a field of a body.

        Raises:
            InvalidValue: it refers to media that is not allowed.
        """
        if isinstance(value, list):
            # Most conversations are words only.
            for one in value:
                if not isinstance(one, str) and not (isinstance(one, dict) and isinstance(one.get("content"), str)):
                    self._check_content(value, field)
                    return
        elif isinstance(value, dict):
            self._check_content([value], field)

    def _check_content(self, content: list[Any], field: str) -> None:
        # A stack and not recursion: JSON may be nested deeper than Python calls.
        waiting = [content]
        while waiting:
            for part in waiting.pop():
                if not isinstance(part, dict):
                    if isinstance(part, list):
                        waiting.append(part)
                    continue
                if part.keys() == _PLAIN_TEXT:
                    continue
                nested = [part.get(name) for name in _NESTED]
                waiting += [one if isinstance(one, list) else [one] for one in nested if isinstance(one, list | dict)]
                self._check_part(part, field)

    def _check_part(self, part: dict[str, Any], field: str) -> None:
        kind = part.get("type")
        if isinstance(kind, str) and kind.endswith("_embeds"):
            raise InvalidValue(f"'{field}' holds a part of type {kind!r}. Send the media itself.", param=field)
        if part.get("uuid") is not None:
            raise InvalidValue(f"'{field}' names media by a 'uuid'. Leave it out.", param=field)
        for name, value in part.items():
            if name == "source" and isinstance(value, dict):
                self._check_address(value.get("url"), field)
            elif name.endswith("url"):
                self._check_address(value.get("url") if isinstance(value, dict) else value, field)

    def _check_address(self, address: object, field: str) -> None:
        if address is None or (isinstance(address, str) and address.startswith(_INLINE)):
            return
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if found is None or found[1].lower() not in self._hosts:
            raise InvalidValue(
                f"'{field}' refers to media by address. Send it inline, as a 'data:' URL"
                + (f", or from one of: {', '.join(sorted(self._hosts))}." if self._hosts else "."),
                param=field,
            )
