"""A process is told from another that bears its id, and only the right one is ever signalled."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deadline import wait_until
from serving.engines.identity import ProcessIdentity
from serving.engines.process import EngineProcess, start_process
from serving.engines.records import Records
from serving.engines.remains import remains

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A parent that ends and leaves a child behind, in its own process group.
PARENT = [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEP!r})"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EngineProcess]:
    started = start(tmp_path, SLEEP)
    yield started
    started.kill()


def start(tmp_path: Path, command: list[str]) -> EngineProcess:
    return start_process(
        command,
        engine_id="engine-of-this-test",
        address="127.0.0.1:1",
        secret="only this engine's",
        log_path=tmp_path / "engine.log",
        environment={},
        tethered=False,
    )


def test_a_process_with_the_same_id_that_started_at_another_time_is_not_signalled(process: EngineProcess) -> None:
    for other in (
        replace(process.identity, started=process.identity.started - 1),
        replace(process.identity, boot="another boot"),
    ):
        assert not other.lives()
        other.signal(signal.SIGKILL)
    assert process.lives()
    process.identity.signal(signal.SIGKILL)
    wait_until(lambda: not process.lives(), what="the right one is ended")


def test_signalling_what_has_ended_does_nothing(process: EngineProcess) -> None:
    process.kill()
    process.identity.signal(signal.SIGTERM)
    assert not process.identity.lives()


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = ProcessIdentity.of(child.pid)
    try:
        wait_until(lambda: not identity.lives(), what="it has ended, though nobody has taken note")
    finally:
        child.wait()


def test_what_an_engine_leaves_behind_is_found_and_ended(tmp_path: Path) -> None:
    process = start(tmp_path, PARENT)
    wait_until(lambda: not process.lives(), what="the parent has ended")
    # Between its fork and its program, the child has no environment to be told by.
    wait_until(lambda: len(remains(process.engine_id)) == 1, what="what it has left behind is found")
    process.kill()
    wait_until(lambda: not remains(process.engine_id), what="nothing is left")


def test_what_hides_its_environment_is_found_by_its_session(tmp_path: Path) -> None:
    process = start(tmp_path, [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEP!r}, env={{}})"])
    stranger = subprocess.Popen(SLEEP, env={}, start_new_session=True)
    try:
        wait_until(lambda: not process.lives(), what="the parent has ended")
        assert len(remains(process.engine_id, process.identity)) == 1
        process.kill()
        wait_until(lambda: not remains(process.engine_id, process.identity), what="nothing is left")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_engine_knows_nothing_of_the_platforms_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLYGRAFT_SECRET_KEY", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(name, "top secret")
    process = start(tmp_path, SLEEP)
    try:
        assert b"top secret" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.kill()


def test_a_record_finds_the_process_again_and_only_its_owner_reads_it(process: EngineProcess, tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    records.write(process, {"lora-b", "lora-a"})
    (path,) = (tmp_path / "records").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    found = records.find(process.engine_id)
    assert found == process
    assert records.given(process.engine_id) == {"lora-a", "lora-b"}
    assert records.engine_ids() == [process.engine_id]


@pytest.mark.parametrize("field", ["identity", "command"])
def test_a_record_does_not_find_another_process_under_the_same_id(
    process: EngineProcess, tmp_path: Path, field: str
) -> None:
    records = Records(tmp_path / "records")
    other = {"identity": replace(process.identity, started=1), "command": ["another", "program"]}
    records.write(replace(process, **{field: other[field]}), set())
    assert records.find(process.engine_id) is None


def test_an_unreadable_record_is_none(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    for content in ("", "{}", "[]", '{"identity": {"pid": 1}}'):
        (tmp_path / "records" / "x.json").write_text(content)
        assert records.find("x") is None
        assert records.given("x") == set()
    records.forget("x")
    records.forget("x")


def test_a_child_says_how_it_ended(tmp_path: Path) -> None:
    process = start(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"])
    wait_until(lambda: not process.lives(), what="it has ended")
    assert process.how_it_ended() == "It ended with exit code 3."
    process = start(tmp_path, SLEEP)
    os.kill(process.pid, signal.SIGSEGV)
    wait_until(lambda: not process.lives(), what="it has ended")
    assert process.how_it_ended() == "It was ended by SIGSEGV."
