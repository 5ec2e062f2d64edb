"""Asks the operating system which processes live."""

import os

import psutil


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has taken note of does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return {process.pid, *(child.pid for child in process.children(recursive=True))}


def session(leader: int) -> set[int]:
    """The living processes of the session that a process has begun, be it that it has ended itself."""
    found = set()
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader and lives(pid):
                found.add(pid)
        except ProcessLookupError:
            continue
    return found
