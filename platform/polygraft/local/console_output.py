"""Writes the lines of all parts to one terminal, each with its part's name in front, coloured where that is wanted."""

import os
import re
from typing import TextIO

_COLOURS = {"setup": 34, "web": 36, "worker": 33, "redis": 35, "engine": 32, "ready": 34}
_NAME_WIDTH = max(len(name) for name in _COLOURS) + 2
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class ConsoleOutput:
    """One stream that several parts write to, line by line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        # https://no-color.org
        self._coloured = self._is_terminal and not os.environ.get("NO_COLOR")

    def line(self, part: str, text: str) -> None:
        """Write a line of a part's output."""
        prefix = f"[{part}]".ljust(_NAME_WIDTH)
        if self._coloured:
            self.say(f"\x1b[{_COLOURS[part]}m{prefix}\x1b[0m {text}\x1b[0m")
        else:
            self.say(f"{prefix} {_ESCAPES.sub('', text)}")

    def say(self, text: str) -> None:
        """Write something of the launcher's own."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError:
            # Nobody reads any more. The platform goes on, and the interpreter must not stumble over it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def has_hung_up(self) -> bool:
        """Whether this was a terminal, which is gone."""
        return self._is_terminal and not self._stream.isatty()
