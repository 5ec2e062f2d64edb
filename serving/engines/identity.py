"""Tells one process from every other that will ever bear its id: by when it started, in which boot, as what program."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ZOMBIES = {"Z", "X"}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, as the kernel knows it; `started` is in clock ticks since the boot that `boot` names (proc(5))."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """The identity of a process.

        Raises:
            ProcessLookupError: there is none with this id.
        """
        _, started = _status(pid)
        return cls(pid=pid, started=started, boot=_boot())

    def lives(self) -> bool:
        """Whether it still runs; another process that was given its id is not it, nor is a zombie."""
        if self.boot != _boot():
            return False
        try:
            state, started = _status(self.pid)
        except ProcessLookupError:
            return False
        return started == self.started and state not in _ZOMBIES

    def runs(self, command: list[str]) -> bool:
        """Whether it runs this command, be it through a wrapper that becomes the command in a moment."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            return False
        return words[-len(command) :] == command

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and to nothing else; nothing happens when it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Looked at while the descriptor holds the process: from here on its id cannot pass to another.
            if self.lives():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)


def _status(pid: int) -> tuple[str, int]:
    """The state and the start of a process."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(f"There is no process {pid}.") from error
    # The program's name is in parentheses and may hold any character, even these.
    fields = line[line.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def _boot() -> str:
    return _BOOT_ID.read_text().strip()
