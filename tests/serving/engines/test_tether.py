"""Engines end when the process that started them does, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deadline import wait_until
from processes import family, lives
from serving.engines import tether

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid()), "sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_parent_leaves_no_orphan() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tether.__file__], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: is_sleeping(child), what="the child runs")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_sleeping(child), what="the child has ended")


SERVER = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], env={})
print(child.pid, flush=True)
time.sleep(600)
"""
STARTER = """
import os, subprocess, sys, time
server = subprocess.Popen(
    [sys.executable, sys.argv[1], "--with-session", str(os.getpid()), sys.executable, "-c", sys.argv[2]],
    start_new_session=True,
)
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("doomed", ["starter", "server"])
def test_with_its_session_ends_what_the_command_has_started_whichever_of_them_was_killed(doomed: str) -> None:
    command = [sys.executable, "-c", STARTER, tether.__file__, SERVER]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    server, worker = int(starter.stdout.readline()), int(starter.stdout.readline())
    (guard,) = family(server) - {server, worker}
    wait_until(lambda: is_sleeping(worker), what="the server's worker runs")
    os.kill({"starter": starter.pid, "server": server}[doomed], signal.SIGKILL)
    wait_until(lambda: not lives(worker), what="the server's worker has ended")
    wait_until(lambda: not lives(server) and not lives(guard), what="so have the server and the guard")
    starter.kill()
    starter.wait()
    starter.stdout.close()


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    ended = subprocess.run([sys.executable, tether.__file__, "1", "true"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "parent has ended" in ended.stderr


def is_sleeping(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False
