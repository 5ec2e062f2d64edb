"""Tells from what an engine left behind what it failed of."""

import errno
import re

from serving.models import Failure

# The first that matches, from the cause that is surest to the one that is least so.
_SIGNS = (
    (Failure.DISK_FULL, re.compile(r"No space left on device|ENOSPC|Errno 28\b", re.IGNORECASE)),
    (Failure.PORT_TAKEN, re.compile(r"address already in use|EADDRINUSE|Errno 98\b", re.IGNORECASE)),
    (
        Failure.OUT_OF_MEMORY,
        re.compile(
            r"out of memory|OutOfMemoryError|\bOOM\b|MemoryError|Cannot allocate memory|bad_alloc"
            r"|failed to allocate|No available memory for the cache blocks|less than desired GPU memory utilization"
            r"|larger than the available KV cache memory",
            re.IGNORECASE,
        ),
    ),
)
_ERRNOS = {
    errno.ENOSPC: Failure.DISK_FULL,
    errno.EDQUOT: Failure.DISK_FULL,
    errno.ENOMEM: Failure.OUT_OF_MEMORY,
    errno.EADDRINUSE: Failure.PORT_TAKEN,
}


def failure_of(ending: str, last_words: str) -> Failure:
    """What a process ended of.

    Args:
        ending: how it ended, see `EngineProcess.how_it_ended`.
        last_words: the end of its log.
    """
    for failure, sign in _SIGNS:
        if sign.search(f"{ending}\n{last_words}"):
            return failure
    return Failure.CRASHED


def failure_of_error(error: OSError) -> Failure:
    """What an engine could not be started or filled of."""
    return _ERRNOS.get(error.errno or 0, Failure.NOT_STARTED)
