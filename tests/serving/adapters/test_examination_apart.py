"""Uploads are examined in a fork of a process that is kept at hand: bounded, apart from each other, and to be tried
again when somebody ends it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapter_factory import small_adapter
from serving.adapters.examination import process
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.process import Bounds, Examination, examine_apart
from serving.adapters.examination.warm import WarmExaminer
from serving.adapters.reading.limits import MIB, Limits

SOUND = Bounds(seconds=20, memory_bytes=1024 * MIB)


@pytest.fixture
def examiner(monkeypatch: pytest.MonkeyPatch) -> Iterator[WarmExaminer]:
    examiner = WarmExaminer()
    monkeypatch.setattr(process, "warm_examiner", examiner)
    yield examiner
    examiner.close()


def wish(folder: Path, base: BaseSpec, bounds: Bounds = SOUND) -> Examination:
    folder.mkdir()
    upload = small_adapter().write(folder / "upload")
    return Examination(upload, folder / "adapter", base, Limits(), bounds)


def kept(examiner: WarmExaminer) -> int:
    assert examiner._process is not None
    return examiner._process.pid


def forks(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_one_process_serves_one_upload_after_another(examiner: WarmExaminer, base: BaseSpec, tmp_path: Path) -> None:
    assert examine_apart(wish(tmp_path / "1", base))["ok"]
    first = kept(examiner)
    assert examine_apart(wish(tmp_path / "2", base))["ok"]
    assert kept(examiner) == first
    assert forks(first) == []


def test_what_goes_over_the_bounds_is_refused_and_the_next_is_examined(
    examiner: WarmExaminer, base: BaseSpec, tmp_path: Path
) -> None:
    greedy = examine_apart(wish(tmp_path / "1", base, Bounds(seconds=20, memory_bytes=16 * MIB)))
    slow = examine_apart(wish(tmp_path / "2", base, Bounds(seconds=0, memory_bytes=1024 * MIB)))
    for report in (greedy, slow):
        assert [finding["check"] for finding in report["findings"]] == ["resources"]
    assert examine_apart(wish(tmp_path / "3", base))["ok"]


def test_it_starts_again_when_the_process_that_is_kept_has_gone(
    examiner: WarmExaminer, base: BaseSpec, tmp_path: Path
) -> None:
    assert examine_apart(wish(tmp_path / "1", base))["ok"]
    os.kill(kept(examiner), signal.SIGKILL)
    os.waitid(os.P_PID, kept(examiner), os.WEXITED | os.WNOWAIT)
    assert examine_apart(wish(tmp_path / "2", base))["ok"]


def test_a_fork_that_is_stopped_and_a_process_that_is_ended_say_nothing_about_the_upload(
    examiner: WarmExaminer, base: BaseSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examine_apart(wish(tmp_path / "1", base))["ok"]
    os.mkfifo(tmp_path / "waiting")
    # Nobody writes to it, so a fork waits for its wish until it is ended.
    with open(os.open(tmp_path / "waiting", os.O_RDWR), "rb") as waiting:
        monkeypatch.setattr(process.warm_examiner, "run", lambda _, wall: run([waiting] * 3, wall))
        run = WarmExaminer.run.__get__(examiner)
        with ending_it(lambda fork, _: os.kill(fork, signal.SIGTERM), examiner), pytest.raises(InterruptedError):
            examine_apart(wish(tmp_path / "2", base))
        with ending_it(lambda _, kept: os.kill(kept, signal.SIGKILL), examiner), pytest.raises(ConnectionError):
            examine_apart(wish(tmp_path / "3", base))
    monkeypatch.undo()


def test_a_fork_does_not_outlast_the_time_on_the_wall(examiner: WarmExaminer, base: BaseSpec, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "waiting")
    with open(os.open(tmp_path / "waiting", os.O_RDWR), "rb") as waiting:
        assert examiner.run([waiting] * 3, 0) == -signal.SIGKILL


@contextmanager
def ending_it(end: Callable[[int, int], None], examiner: WarmExaminer) -> Iterator[None]:
    """Calls `end` with the process ids of a fork and of what is kept, as soon as there is a fork."""
    pid = kept(examiner)

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not (running := forks(pid)) and time.monotonic() < deadline:
            time.sleep(0.001)
        end(running[0], pid)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
