"""Keeps a process at hand that has the examiner's code loaded and forks for each upload.

A new Python with these modules takes longer to start than an adapter takes to be refused. What is kept never sees a
byte of an upload, only its forks do, so no examination leaves a trace for the next.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from threading import Lock
from typing import BinaryIO

_COMMAND = (sys.executable, "-I", "-m", "serving.adapters.examination.examiner")
# Nothing of the worker's environment: it holds the database's password.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"}
_LONGEST_CODE = 16


class WarmExaminer:
    """One such process, started when it is first needed; it goes with the worker, whose end it sees."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def run(self, files: Sequence[BinaryIO], wall_seconds: int) -> int:
        """Run an examination with these as its standard files; its exit code, negative for a signal.

        Raises:
            OSError: the process that is kept was ended, so nothing is known of the examination; it can be tried again.
        """
        with self._lock:
            try:
                line = self._ask(files, wall_seconds)
            except BrokenPipeError:
                # It was ended since the last one, so nothing has begun.
                self._end()
                line = self._ask(files, wall_seconds)
            try:
                code = line.recv(_LONGEST_CODE)
                if not code:
                    raise ConnectionResetError("the process that examines uploads was ended")
            except BaseException:
                # Its answer must not be taken for the next one's.
                self._end()
                raise
            return int(code)

    def close(self) -> None:
        """End the process; another examination starts it again."""
        with self._lock:
            self._end()

    def _ask(self, files: Sequence[BinaryIO], wall_seconds: int) -> socket.socket:
        if self._line is None:
            # Packets keep one wish from running into the next.
            self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # In a session of its own: Ctrl-C is for the worker, which finishes what it has begun.
                self._process = subprocess.Popen(
                    _COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=_ENVIRONMENT, start_new_session=True
                )
        socket.send_fds(self._line, [str(wall_seconds).encode()], [file.fileno() for file in files])
        return self._line

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            # Its forks, too. It has not been waited for, so its number is nobody else's.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


warm_examiner = WarmExaminer()
atexit.register(warm_examiner.close)
