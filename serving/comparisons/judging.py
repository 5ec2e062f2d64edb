"""Runs the judge, and ends it when it takes too long over an answer."""

import json
import selectors
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

SECONDS = 2.0
# Python and the schema library have to load first.
_START_SECONDS = 30.0


class Judge:
    """A judge at work; a context, at whose end the process has ended."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def passes(self, text: str, expect: dict[str, Any]) -> tuple[bool, str]:
        """Whether an answer is what was expected, and why not."""
        verdict = self._ask({"text": text, "expect": expect}, self._seconds)
        if verdict is None:
            self._end()
            kinds = " and ".join(expect)
            return False, f"Judging it by {kinds} took longer than {self._seconds:g} s or too much memory. Simplify it."
        return bool(verdict["passed"]), str(verdict["reason"])

    def _ask(self, wish: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """What the judge says in time, or None."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        try:
            process.stdin.write(json.dumps(wish).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        line = process.stdout.readline()
        return json.loads(line) if line else None

    def _start(self) -> None:
        # Nothing of the worker's environment: it holds the database's password.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "serving.comparisons.judge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},
        )
        if self._ask({"text": "", "expect": {}}, _START_SECONDS) is None:
            self._end()
            raise RuntimeError("the judge of answers does not start")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()
