"""An engine's operating-system process: started with a secret and a log file, watched, ended, found again."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serving.engines import tether
from serving.engines.identity import ProcessIdentity
from serving.engines.remains import ENGINE_VARIABLE, end_remains

_KEPT_FROM_ENGINES = ("POLYGRAFT_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """An engine's process, whoever started it. `address` is "host:port"; `secret` is the bearer token that it demands.

    `popen` is there while it is a child of this process; the exit status of anybody else's child is not to be had.
    """

    engine_id: str
    identity: ProcessIdentity
    command: list[str]
    address: str
    secret: str
    log_path: Path
    popen: "subprocess.Popen[bytes] | None" = field(default=None, compare=False)

    @property
    def pid(self) -> int:
        """The process's id, also that of its process group."""
        return self.identity.pid

    def lives(self) -> bool:
        """Whether it runs."""
        if self.popen is not None:
            return self.popen.poll() is None
        return self.identity.lives()

    def how_it_ended(self) -> str:
        """A sentence about its end."""
        code = None if self.popen is None else self.popen.poll()
        if code is None:
            return "It ended; how is not known, since another worker had started it."
        if code < 0:
            return f"It was ended by {signal.Signals(-code).name}."
        return f"It ended with exit code {code}."

    def terminate(self) -> None:
        """Ask it to finish what it is doing and end."""
        # The leader alone: it knows in which order its own children end.
        self.identity.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, and wait until they are gone, for seconds at most."""
        self.identity.signal(signal.SIGKILL)
        end_remains(self.engine_id, self.identity)
        self.lives()  # takes note of the end, so that no zombie is left


def start_process(
    command: Sequence[str],
    *,
    engine_id: str,
    address: str,
    secret: str,
    log_path: Path,
    environment: Mapping[str, str],
    tethered: bool,
) -> EngineProcess:
    """Start a command as a process group of its own, whose output goes to `log_path`.

    Args:
        environment: variables to set beside those of this process.
        tethered: whether it ends, with all that it has started, when this process ends.

    Raises:
        OSError: the log cannot be written, or the program cannot be run.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    wrapper = [sys.executable, "-ES", tether.__file__, "--with-session", str(os.getpid())] if tethered else []
    # Appended to: whoever shortens the file need not tell its writer.
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            [*wrapper, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_inherited(), **environment, ENGINE_VARIABLE: engine_id},
            start_new_session=True,
        )
    return EngineProcess(
        engine_id=engine_id,
        identity=ProcessIdentity.of(popen.pid),
        command=list(command),
        address=address,
        secret=secret,
        log_path=log_path,
        popen=popen,
    )


def _inherited() -> dict[str, str]:
    # An engine needs neither the database nor Redis nor the key that signs sessions.
    return {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_FROM_ENGINES)}


def new_secret() -> str:
    """A bearer token for one engine."""
    return secrets.token_urlsafe(32)


def free_port(host: str) -> int:
    """A TCP port that is free on this address now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
