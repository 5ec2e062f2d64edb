"""How much of the machine other processes take while something is measured."""

import os
from pathlib import Path


class Others:
    """Watches from its making on; `pids` are the processes that belong to the measurement, besides this one."""

    def __init__(self, *pids: int) -> None:
        self._pids = (os.getpid(), *pids)
        self._before = self._spent()

    @property
    def share(self) -> float:
        """The share of all processors' time that others have taken since."""
        (busy, total), (busy_before, total_before) = self._spent(), self._before
        return max(0.0, (busy - busy_before) / max(1, total - total_before))

    def _spent(self) -> tuple[int, int]:
        """Ticks that others were busy, and all ticks."""
        user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
        busy = user + nice + system + sum(rest)
        return busy - sum(map(_ticks, self._pids)), busy + idle + waiting


def _ticks(pid: int) -> int:
    """User and system time of a process, its ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
