"""The guard ends what the launcher has told it of."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from polygraft.local import guard


def _group(script: str) -> "subprocess.Popen[str]":
    """A shell in a process group of its own, which has done this and goes on until it is ended."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"{script}; echo ready; while :; do sleep 0.05; done"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _guard(patience_seconds: float, *told: int) -> "subprocess.Popen[str]":
    """A guard whose launcher has told it of these groups and is gone."""
    guarding = subprocess.Popen(
        [sys.executable, "-ES", guard.__file__, str(patience_seconds)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert guarding.stdin is not None
    guarding.stdin.write("".join(f"{group}\n" for group in told))
    guarding.stdin.close()
    return guarding


def test_it_kills_what_does_not_end_when_asked() -> None:
    with _group("trap '' TERM") as stubborn, _guard(0.3, stubborn.pid):
        assert stubborn.wait(timeout=30) == -signal.SIGKILL


def test_it_lets_end_what_does_when_asked(tmp_path: Path) -> None:
    marker = tmp_path / "ended-by-itself"
    with _group(f"trap 'touch {marker}; exit 0' TERM") as polite, _guard(20, polite.pid) as guarding:
        assert polite.wait(timeout=30) == 0
        assert guarding.wait(timeout=30) == 0
    assert marker.exists()


def test_groups_that_have_ended_are_no_trouble() -> None:
    with _group("true") as ended:
        os.killpg(ended.pid, signal.SIGKILL)
    with _guard(20, ended.pid) as guarding:
        assert guarding.wait(timeout=60) == 0
        assert guarding.stderr is not None
        assert guarding.stderr.read() == ""
