"""Engines end when the process that started them does, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path

from deadline import wait_until
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
    wait_until(lambda: is_sleeping(child), seconds=10, what="the child runs")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_sleeping(child), seconds=10, what="the child has ended")


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    ended = subprocess.run([sys.executable, tether.__file__, "1", "true"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "parent has ended" in ended.stderr


def is_sleeping(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except OSError:
        return False
