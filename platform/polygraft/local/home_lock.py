"""Lets one launcher at a time use a state folder."""

import fcntl
import os
import time
from pathlib import Path

from polygraft.local.problem import CannotStart

_PATIENCE_SECONDS = 12.0


def home_lock(home: Path) -> int:
    """Take the folder, for as long as the returned descriptor is open in any process.

    A launcher that was killed leaves the lock to its guard, until that has ended the children: this is waited for.

    Raises:
        CannotStart: another launcher runs, or the folder cannot be written.
    """
    path = home / "run.lock"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(
            f"The state folder {home} cannot be used ({error.strerror}); check POLYGRAFT_HOME."
        ) from error
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text().strip()
            if _lives(owner) or time.monotonic() > deadline:
                os.close(descriptor)
                raise CannotStart(
                    f"Polygraft runs already with the state folder {home} (process {owner}). "
                    "Stop it, or choose another folder and port: POLYGRAFT_HOME=… POLYGRAFT_PORT=… make run"
                ) from None
            time.sleep(0.1)
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor


def _lives(owner: str) -> bool:
    return owner.isdigit() and Path("/proc", owner).exists()
