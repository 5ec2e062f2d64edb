"""Ends the launcher's children when the launcher is gone: `python guard.py SECONDS`.

It is told process groups on its standard input. The launcher alone holds the other end of that pipe, so its end
means that the launcher ended, in whatever way.
Children die of their tether then (see `serving.engines.tether`), but not what they have started themselves.
"""

import contextlib
import os
import signal
import sys
import time


def main(patience_seconds: float) -> None:
    """Collect process groups until the launcher ends, then end those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = [int(line) for line in sys.stdin]
    deadline = time.monotonic() + patience_seconds
    end_groups(groups, signal.SIGTERM)
    while end_groups(groups, 0) and time.monotonic() < deadline:
        time.sleep(0.1)
    end_groups(groups, signal.SIGKILL)


def end_groups(groups: list[int], number: int) -> bool:
    """Send a signal to process groups; whether any of them has a process left."""
    any_left = False
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            any_left = True
    return any_left


if __name__ == "__main__":
    main(float(sys.argv[1]))
