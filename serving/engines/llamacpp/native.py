"""The one door to llama.cpp: how its threads wait, and where its log goes."""

import ctypes
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Threads that share a batch wait for each other hundreds of times per token, mostly for microseconds. OpenMP's own way,
# to spin for milliseconds, can make one token take seconds on a busy machine. Read once by libgomp when llama.cpp is
# loaded, hence before the import.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from llama_cpp import llama_cpp as api

__all__ = ["api", "error_lines"]

_log = logging.getLogger("llama.cpp")
_heard = threading.local()

_ERROR, _CONTINUED = 4, 5


def _on_log(level: int, text: bytes, _: object) -> None:
    line = text.decode("utf-8", "replace").strip()
    if not line or level == _CONTINUED:
        return
    heard: list[str] | None = getattr(_heard, "lines", None)
    if level == _ERROR and heard is not None:
        heard.append(line)
    else:
        _log.log(logging.ERROR if level == _ERROR else logging.DEBUG, line)


# Referenced here for as long as llama.cpp may call it.
_callback = api.llama_log_callback(_on_log)
api.llama_log_set(_callback, ctypes.c_void_p(0))


@contextmanager
def error_lines() -> Iterator[list[str]]:
    """Collects what llama.cpp logs as errors in this thread: its functions report causes no other way."""
    lines: list[str] = []
    _heard.lines = lines
    try:
        yield lines
    finally:
        _heard.lines = None
