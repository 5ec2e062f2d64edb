"""A state folder has one launcher at a time."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from polygraft.local.home_lock import home_lock
from polygraft.local.problem import CannotStart


def test_a_second_launcher_is_told_who_the_first_is(tmp_path: Path) -> None:
    descriptor = home_lock(tmp_path / "home")
    with pytest.raises(CannotStart, match=rf"process {os.getpid()}\b"):
        home_lock(tmp_path / "home")
    os.close(descriptor)


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    os.close(home_lock(tmp_path / "home"))
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_a_lock_that_a_dead_launchers_guard_still_holds_is_waited_for(tmp_path: Path) -> None:
    guards = home_lock(tmp_path)
    with subprocess.Popen(["/bin/true"]) as dead:
        pass
    (tmp_path / "run.lock").write_text(f"{dead.pid}\n")
    threading.Timer(0.3, os.close, [guards]).start()
    os.close(home_lock(tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"file/home .*POLYGRAFT_HOME"):
        home_lock(tmp_path / "file" / "home")
