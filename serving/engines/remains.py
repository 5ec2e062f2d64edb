"""Finds and ends what an engine leaves behind: the processes that it has started, of whatever generation."""

import os
import signal
import time

import psutil

from serving.engines.identity import ProcessIdentity

# Set in an engine's environment; its children inherit it, so that what it leaves behind can be told from all else.
ENGINE_VARIABLE = "POLYGRAFT_ENGINE_ID"
_END_SECONDS = 5.0
_RESOURCE_TRACKER = "multiprocessing.resource_tracker"


def remains(engine_id: str, leader: ProcessIdentity | None = None) -> list[ProcessIdentity]:
    """The living processes of an engine: those of the session that `leader` began, and those that bear its id.

    vLLM's children write their titles over their environment, so that only their session tells whose they are.
    """
    found = []
    for process in psutil.process_iter():
        try:
            identity = ProcessIdentity.of(process.pid)
            is_ours = leader is not None and _is_of_session(identity, leader)
            if (is_ours or process.environ().get(ENGINE_VARIABLE) == engine_id) and identity.lives():
                found.append(identity)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


def end_remains(engine_id: str, leader: ProcessIdentity | None = None) -> None:
    """End them at once, and wait until they are gone and have given their memory back, for seconds at most.

    Python's resource trackers end by themselves, when they have removed the shared memory of those that could not.
    """
    deadline = time.monotonic() + _END_SECONDS
    while (found := remains(engine_id, leader)) and time.monotonic() < deadline:
        for process in found:
            if not _tracks_resources(process):
                process.signal(signal.SIGKILL)
        while any(process.lives() for process in found) and time.monotonic() < deadline:
            time.sleep(0.01)


def _tracks_resources(process: ProcessIdentity) -> bool:
    try:
        return any(_RESOURCE_TRACKER in word for word in psutil.Process(process.pid).cmdline())
    except psutil.Error:
        return False


def _is_of_session(process: ProcessIdentity, leader: ProcessIdentity) -> bool:
    """Whether a process belongs to the session that `leader` began, and not to a later one of the same number."""
    if os.getsid(process.pid) != leader.pid or (process.boot, process.started >= leader.started) != (leader.boot, True):
        return False
    try:
        return ProcessIdentity.of(leader.pid) == leader
    except ProcessLookupError:
        return True  # the leader has ended; its number is not given away while its session has members
