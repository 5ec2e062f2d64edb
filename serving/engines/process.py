"""An engine's operating-system process: started with a secret and a log file, tethered to this one, watched."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.engines import tether

_LOG_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A started engine. `address` is "host:port"; `secret` is the bearer token that it demands."""

    popen: "subprocess.Popen[bytes]"
    address: str
    secret: str
    log_path: Path

    @property
    def pid(self) -> int:
        """The process's id, also that of its process group."""
        return self.popen.pid

    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self.popen.poll()

    def terminate(self) -> None:
        """Ask the process to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all that it started, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.popen.wait()

    def last_words(self) -> str:
        """The last lines of the log, the likely reason for its end."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-5:])

    def _signal(self, number: signal.Signals) -> None:
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, number)


def start_process(
    command: Sequence[str], *, address: str, secret: str, log_path: Path, environment: Mapping[str, str]
) -> EngineProcess:
    """Start a command as a process group of its own, whose output goes to `log_path`.

    Args:
        environment: variables to set beside those of this process.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            [sys.executable, "-ES", tether.__file__, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    return EngineProcess(popen=popen, address=address, secret=secret, log_path=log_path)


def new_secret() -> str:
    """A bearer token for one engine."""
    return secrets.token_urlsafe(32)


def free_port(host: str) -> int:
    """A TCP port that is free on this address now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
