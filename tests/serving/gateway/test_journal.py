"""What a killed process owed is recorded by another, from the notes that it left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from cast import Cast
from deadline import wait_until
from polygraft.conf import ROOT, config
from serving.gateway.call import Call
from serving.gateway.metering import journal
from serving.gateway.metering.journal import Journal

from .served import CHAT, Engines, Served, question, usage_records

ENGINE_ID = "0b7b1f4e-9d2c-4b59-8b1f-0f5a3d9f2f11"
# Five requests, each a step further on its way than the one before, in a process that gets no further.
KILLED = """
import os, pathlib, signal, sys
import django
django.setup()
from types import SimpleNamespace as Thing
from serving.gateway.call import Call
from serving.gateway.metering.journal import Journal
from serving.accounting.prices import FREE

journal = Journal(pathlib.Path(sys.argv[1]))
for steps, name in enumerate(("admitted", "asked", "counted", "ended", "freed")):
    call = Call(Thing(path="/v1/chat/completions", headers={}))
    call.id, call.endpoint, call.arrived_at = name, call.path, 1_800_000_000.5
    call.grant = Thing(department_id=int(sys.argv[2]), key_id=None, user_id=None)
    entry = journal.open(call)
    if steps >= 1:
        call.target = Thing(name="support-bot:3", base_model_id=None, adapter_version_id=None, prices=FREE)
        call.engine = Thing(kind="vllm", id="0b7b1f4e-9d2c-4b59-8b1f-0f5a3d9f2f11")
        call.streamed = True
        entry.asked(call)
    if steps >= 2:
        call.prompt_tokens, call.cached_tokens, call.completion_tokens = 70, 30, 2**31 - 1
        entry.counted(call)
    if steps >= 3:
        call.outcome, call.status, call.duration = "finished", 200, 1.5
        entry.ended(call)
    if steps >= 4:
        entry.free()
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_a_journal(folder: Path, department: int = 1) -> None:
    path = os.pathsep.join(str(part) for part in (ROOT, ROOT / "platform"))
    environment = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "polygraft.settings"}
    command = [sys.executable, "-c", KILLED, str(folder), str(department)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


def test_a_killed_processs_requests_are_recorded_as_far_as_they_are_known(tmp_path: Path) -> None:
    leave_a_journal(tmp_path)
    with Journal(tmp_path).claim_orphan() as orphan:
        assert orphan is not None
        records = {record["request_id"]: record for record in map(orjson.loads, orphan)}
    assert list(records) == ["admitted", "asked", "counted", "ended"]
    admitted = {
        "request_id": "admitted",
        "at": 1_800_000_000.5,
        "department_id": 1,
        "key_id": None,
        "user_id": None,
        "endpoint": CHAT,
    }
    lost = {"outcome": "lost", "status": 0, "duration_ms": 0.0}
    wish = {
        "model": "support-bot:3",
        "base_model_id": None,
        "adapter_version_id": None,
        "prices": ["0", "0", "0"],
        "engine_kind": "vllm",
        "engine_id": ENGINE_ID,
        "streamed": True,
    }
    counts = {"prompt_tokens": 70, "cached_tokens": 30, "completion_tokens": 2**31 - 1}
    end = {
        "outcome": "finished",
        "status": 200,
        "fallback": "",
        "first_token_ms": None,
        "queue_ms": None,
        "duration_ms": 1500.0,
    }
    assert records["admitted"] == {**admitted, **lost, "model": "", "engine_kind": "", "streamed": False}
    assert records["asked"] == {**admitted, "request_id": "asked", **wish, **lost}
    assert records["counted"] == {**admitted, "request_id": "counted", **wish, **lost, **counts}
    assert records["ended"] == {**admitted, "request_id": "ended", **wish, **counts, **end}
    assert list(tmp_path.iterdir()) == []


def test_the_next_gateway_brings_them_to_redis(cast: Cast, engines: Engines) -> None:
    leave_a_journal(config().home / "spool", cast.support.pk)
    with Served():
        records = wait_until(lambda: len(found := usage_records()) == 4 and found, what="the records arrive")
    assert [record["request_id"] for record in records] == ["admitted", "asked", "counted", "ended"]


def test_the_journal_of_a_living_process_is_left_alone(client: Any, tmp_path: Path) -> None:
    client.post(CHAT, json=question())
    assert len(list((config().home / "spool").glob("*.journal"))) == 1
    with Journal(config().home / "spool").claim_orphan() as orphan:
        assert orphan is None


def test_a_gateway_that_ends_in_good_order_leaves_no_journal(cast: Cast, engines: Engines) -> None:
    engines.start()
    with Served() as served:
        served.client(cast.secret).post(CHAT, json=question())
    assert list((config().home / "spool").glob("*.journal")) == []


def made_call(**fields: Any) -> Call:
    call = Call(SimpleNamespace(path=CHAT, headers={}))  # type: ignore[arg-type]  # what is read of it
    call.grant = SimpleNamespace(department_id=1, key_id=2, user_id=None)  # type: ignore[assignment]
    for name, value in fields.items():
        setattr(call, name, value)
    return call


def test_more_requests_at_once_than_fit_one_file_get_another(tmp_path: Path) -> None:
    own = Journal(tmp_path)
    entries = [own.open(made_call()) for _ in range(journal._ENTRIES + 1)]
    assert len(list(tmp_path.iterdir())) == 2
    for entry in entries:
        entry.free()
    assert own.open(made_call()) is entries[-1]


@pytest.mark.parametrize("model", ["x" * 200, "é" * 200, "漢" * 200, "\n", "\x00"])
def test_no_name_that_a_caller_makes_up_spoils_a_record(tmp_path: Path, model: str) -> None:
    own = Journal(tmp_path)
    call = made_call(model=model, fallback="a" * 32, id="i" * 64, endpoint="/v1/messages/count_tokens")
    neighbours = own.open(made_call()), own.open(call), own.open(made_call())
    for entry, of in zip(neighbours, (made_call(), call, made_call()), strict=True):
        entry.ended(of)
    expected = model if model.isprintable() and len(model.encode()) <= 300 else ""
    assert orjson.loads(neighbours[1].record())["model"] == expected
    file = next(tmp_path.iterdir()).read_bytes()
    assert [orjson.loads(record) for record in journal._records(file)] == [
        orjson.loads(entry.record()) for entry in neighbours
    ]


def test_without_a_place_on_disk_requests_are_served_all_the_same(
    cast: Cast, engines: Engines, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    engines.start()
    assert serve().client(cast.secret).post(CHAT, json=question()).status_code == 200
    wait_until(usage_records, what="the record arrives")
