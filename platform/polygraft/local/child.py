"""One child process of the launcher: its process group, its lines, its end."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from serving.engines import tether

_LAST_WORDS = 8
_CHUNK_BYTES = 65536


class Child:
    """A process that the kernel ends when this one ends, in a session of its own: Ctrl-C does not reach it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            [sys.executable, "-ES", tether.__file__, str(os.getpid()), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.set_blocking(self.output.fileno(), False)
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._unfinished = b""

    @property
    def group(self) -> int:
        """The id of its process group, also its own."""
        return self._popen.pid

    @property
    def output(self) -> IO[bytes]:
        """What it and its descendants write to; becomes readable when there is something to read, or the end."""
        assert self._popen.stdout is not None  # noqa: S101  # for the type checker
        return self._popen.stdout

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._popen.poll()

    def new_lines(self) -> Iterator[str]:
        """The lines that were written since the last time; after its end also an unfinished one."""
        while added := self._read():
            *lines, self._unfinished = (self._unfinished + added).split(b"\n")
            for line in lines:
                yield self._noted(line)
        if self._unfinished and self.exit_code() is not None:
            yield self._noted(self._unfinished)
            self._unfinished = b""

    def terminate(self) -> None:
        """Ask it to end; it ends its own children."""
        if self.exit_code() is None:
            self._popen.terminate()

    def sweep(self) -> None:
        """End at once what is left of its group, and wait for the process itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self._popen.wait()

    def obituary(self) -> str:
        """Which child ended, how, and with what last words."""
        code = self.exit_code() or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = [line for line in self._last_words if line.strip()]
        if len(words) > 1:
            return f"{self.name} {how}. Its last lines:" + "".join(f"\n    {line}" for line in words)
        return f"{self.name} {how}: {words[0]}" if words else f"{self.name} {how}, without a word."

    def _read(self) -> bytes:
        try:
            return os.read(self.output.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return b""

    def _noted(self, line: bytes) -> str:
        text = line.decode(errors="replace").rstrip("\r")
        self._last_words.append(text)
        return text
