"""An engine's operating-system process: started with a secret and a log file, watched, ended, found again."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from serving.engines import tether
from serving.engines.identity import ProcessIdentity

# Set in an engine's environment; its children inherit it, so that what it leaves behind can be told from all else.
ENGINE_VARIABLE = "POLYGRAFT_ENGINE_ID"
_KEPT_FROM_ENGINES = ("POLYGRAFT_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
_KILL_SECONDS = 5.0


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
        """End it and all that it started, and wait until it is gone, for seconds at most."""
        self.identity.signal(signal.SIGKILL)
        for process in remains(self.engine_id, self.identity):
            process.signal(signal.SIGKILL)
        deadline = time.monotonic() + _KILL_SECONDS
        while self.lives() and time.monotonic() < deadline:
            time.sleep(0.01)


def remains(engine_id: str, leader: ProcessIdentity | None = None) -> list[ProcessIdentity]:
    """The living processes of an engine, of whatever generation: they bear its id in their environment.

    vLLM's children write their titles over their environment; they are known by the session that `leader` began.
    """
    found = []
    for process in psutil.process_iter(["environ"]):
        try:
            identity = ProcessIdentity.of(process.pid)
            environment = process.info["environ"] or {}
            hidden = not environment and leader is not None and _is_of_session(identity, leader)
            if hidden or environment.get(ENGINE_VARIABLE) == engine_id:
                found.append(identity)
        except ProcessLookupError:
            continue
    return found


def _is_of_session(process: ProcessIdentity, leader: ProcessIdentity) -> bool:
    """Whether a process belongs to the session that `leader` began, and not to a later one of the same number."""
    if os.getsid(process.pid) != leader.pid or (process.boot, process.started >= leader.started) != (leader.boot, True):
        return False
    try:
        return ProcessIdentity.of(leader.pid) == leader
    except ProcessLookupError:
        return True  # the leader has ended; its number is not given away while its session has members


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
        tethered: whether the kernel ends it when this process ends.

    Raises:
        OSError: the log cannot be written, or the program cannot be run.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    wrapper = [sys.executable, "-ES", tether.__file__, str(os.getpid())] if tethered else []
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
