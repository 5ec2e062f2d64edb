"""Starts the launcher's children, shows what they write, watches them, and ends them; all from one thread."""

import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from polygraft.local import guard
from polygraft.local.child import Child
from polygraft.local.console_output import ConsoleOutput

_STOP_SECONDS = 10.0
_LAST_ONE_SECONDS = 2.0
_TURN_SECONDS = 0.5
# A second Ctrl-C after so long is somebody's who does not want to wait.
_HURRY_SECONDS = 0.5
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AskedToEnd(Exception):
    """Somebody pressed Ctrl-C, or sent SIGTERM or SIGHUP."""


class ChildEnded(Exception):
    """A child ended that should have lived, or failed at its work; the message says which, how, and its last words."""


class Children:
    """All children, in the order of their start. A context: at its end all are ended, the latest first.

    Args:
        environment: the variables of every child.
        output: where their lines go.
        each_turn: called at least twice a second, for what else there is to show.
        kept_open: a descriptor that stays open in the guard, for as long as any child may live.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        output: ConsoleOutput,
        each_turn: Callable[[], None],
        kept_open: int,
    ) -> None:
        self._environment = environment
        self._output = output
        self._each_turn = each_turn
        self._children: list[Child] = []
        self._asked_at: float | None = None
        self._hurries = False
        self._selector = selectors.DefaultSelector()
        self._listen_to_signals()
        self._guard = subprocess.Popen(
            [sys.executable, "-ES", guard.__file__, str(_STOP_SECONDS)],
            stdin=subprocess.PIPE,
            pass_fds=[kept_open],
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while self._children:
            self._end(self._children[-1], deadline)
        self._guard.kill()
        self._guard.wait()
        # Python takes its handlers back before it exits, but leaves an ignored signal ignored: nobody who presses
        # Ctrl-C once more, when all has been ended, is to turn success into death by a signal.
        for number in _END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a child."""
        child = Child(name, command, self._environment)
        self._children.append(child)
        assert self._guard.stdin is not None  # noqa: S101  # for the type checker
        self._guard.stdin.write(f"{child.group}\n".encode())
        self._guard.stdin.flush()
        self._selector.register(child.output, selectors.EVENT_READ, child)
        return child

    def finish(self, child: Child) -> None:
        """Go on until this child has done its work.

        Raises:
            AskedToEnd: before that.
            ChildEnded: it failed, or another one ended.
        """
        while child.exit_code() is None:
            self._turn(may_end=child)
        self._forget(child)
        if child.exit_code() != 0:
            raise ChildEnded(child.obituary())

    def watch(self) -> None:
        """Go on until something ends.

        Raises:
            AskedToEnd: as was wished.
            ChildEnded: a child ended.
        """
        while True:
            self._turn()

    def _turn(self, may_end: Child | None = None) -> None:
        self._listen()
        if self._asked_at is not None:
            raise AskedToEnd
        for child in self._children:
            if child.exit_code() is not None and child is not may_end:
                self._show(child)
                raise ChildEnded(child.obituary())
        if self._guard.poll() is not None:
            raise ChildEnded("the guard ended, without which a killed launcher would leave processes behind.")

    def _end(self, child: Child, deadline: float) -> None:
        """End one child: politely until the deadline, or until a second Ctrl-C."""
        child.terminate()
        deadline = max(deadline, time.monotonic() + _LAST_ONE_SECONDS)
        while child.exit_code() is None and time.monotonic() < deadline and not self._hurries:
            self._listen()
        if child.exit_code() is None:
            self._output.say(f"{child.name} does not end by itself and is killed.")
        child.sweep()
        self._forget(child)

    def _forget(self, child: Child) -> None:
        self._show(child)
        self._selector.unregister(child.output)
        child.output.close()
        self._children.remove(child)

    def _listen(self) -> None:
        """Show what is written and note what is signalled, for a moment."""
        for key, _ in self._selector.select(_TURN_SECONDS):
            if isinstance(key.data, Child):
                self._show(key.data)
            else:
                self._note_signals(self._signals.recv(64))
        if self._output.has_hung_up():
            # As `ssh -t … make run` does, whose only process to be told with a signal is make, which ignores it.
            self._note_signals(bytes([signal.SIGHUP]))
        self._each_turn()

    def _note_signals(self, numbers: bytes) -> None:
        now = time.monotonic()
        for number in numbers:
            if number in _END_SIGNALS and self._asked_at is None:
                self._asked_at = now
            # A terminal that closes, or a make that is killed, may well send several signals at once.
            elif number == signal.SIGINT and self._asked_at is not None and now - self._asked_at > _HURRY_SECONDS:
                self._hurries = True

    def _show(self, child: Child) -> None:
        for line in child.new_lines():
            self._output.line(child.name, line)

    def _listen_to_signals(self) -> None:
        self._signals, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
        self._selector.register(self._signals, selectors.EVENT_READ)
        for number in (*_END_SIGNALS, signal.SIGCHLD):
            # nohup(1) has SIGHUP ignored, and so it stays. An ignored SIGINT is only how shells start things with `&`.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                # The signal's number arrives on the socket; the handler is there for Python to take it at all.
                signal.signal(number, lambda *_: None)
