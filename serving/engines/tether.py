"""Runs a command that is ended by the kernel when its parent ends: `python tether.py PARENT_PID COMMAND…`.

The kernel ends the command alone. After a first word `--with-session`, a process beside it ends what is left of
the session that the command has led, whatever it ended of: a vLLM engine whose server was killed would stay for ever.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Python's resource trackers end by themselves, when they have removed the shared memory of those that could not.
_PATIENCE_SECONDS = 5.0


def main(parent: int, command: list[str], *, with_session: bool) -> None:
    """Tie this process to its parent and become the command; the tie survives execve(2)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("The parent has ended already.")
    leader = os.getpid()
    if with_session and os.fork() == 0:
        guard(leader)
        return
    os.execvp(command[0], command)  # noqa: S606  # becoming the command is the point


def guard(leader: int) -> None:
    """Wait for the end of this process's parent, the leader of a session, and end the rest of that session."""
    os.setsid()
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(leader)
        if os.getppid() == leader:
            select.select([descriptor], [], [])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (members := _members(leader)) and time.monotonic() < deadline:
        for pid in members:
            if not _tracks_resources(pid):
                _kill(pid)
        time.sleep(0.05)


def _members(session: int) -> list[int]:
    """The living processes of a session; its number is not given away while it has any."""
    found = []
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            if os.getsid(pid) == session and stat[stat.rindex(")") + 2] not in "ZX":
                found.append(pid)
    return found


def _tracks_resources(pid: int) -> bool:
    try:
        return b"multiprocessing.resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    options = sys.argv[1:]
    with_session = options[0] == "--with-session"
    parent, *command = options[1:] if with_session else options
    main(int(parent), command, with_session=with_session)
