"""Has the kernel ask this process to end when its parent ends."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int) -> None:
    """Receive SIGTERM when the parent, whose process id is given, ends.

    Raises:
        ProcessLookupError: it has ended already.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # It may have ended before the kernel was told.
    if os.getppid() != parent:
        raise ProcessLookupError(f"Process {parent} has ended already.")
