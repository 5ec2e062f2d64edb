"""Each way in which an engine fails is noticed, and named."""

import errno
import socket
from collections.abc import Callable

import httpx
import pytest

from cast import Cast
from deadline import wait_until
from fake_driver import FakeDriver
from polygraft.conf import config
from polygraft.live import redis_client
from serving.engines import facts as facts_module
from serving.engines import openai_http
from serving.engines import supervisor as supervisor_module
from serving.engines.driver import EngineSpec
from serving.engines.failures import failure_of
from serving.engines.process import EngineProcess
from serving.engines.supervisor import Supervisor
from serving.fleet.engine_logs import engine_log_read
from serving.fleet.registry import living_engines
from serving.models import AdapterVersion, Engine, EngineState, Failure, PlatformEvent, VersionState


def failed(node: Supervisor, engine: Engine) -> Engine:
    """The engine, as soon as it has failed."""

    def look() -> bool:
        node.tick()
        engine.refresh_from_db()
        return engine.state == EngineState.FAILED

    wait_until(look, what="the engine has failed")
    assert living_engines(redis_client()) == []
    event = PlatformEvent.objects.get(kind="engine.failed", engine=engine)
    assert event.is_problem
    assert Failure(engine.failure).label in event.sentence
    return engine


def ready(node: Supervisor, engine: Engine) -> str:
    """The address of the engine, as soon as it is ready."""

    def look() -> bool:
        node.tick()
        engine.refresh_from_db()
        return engine.state == EngineState.READY

    wait_until(look, what="the engine is ready")
    return engine.address


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", Failure.OUT_OF_MEMORY),
        ("ValueError: No available memory for the cache blocks.", Failure.OUT_OF_MEMORY),
        (
            "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (9.1 GiB).",
            Failure.OUT_OF_MEMORY,
        ),
        ("OSError: [Errno 98] Address already in use", Failure.PORT_TAKEN),
        ("OSError: [Errno 28] No space left on device", Failure.DISK_FULL),
        ("RuntimeError: Engine core initialization failed.", Failure.CRASHED),
    ],
)
def test_an_engine_that_dies_of_something_says_so(
    node: Supervisor, engine: Engine, driver: FakeDriver, words: str, failure: Failure
) -> None:
    driver.arguments = ["--last-words", words]
    assert failed(node, engine).failure == failure
    assert engine.error.splitlines() == ["It ended with exit code 1.", words]
    assert engine_log_read(redis_client(), str(engine.pk)) == [words]


def test_an_engine_whose_port_is_taken_says_so(
    node: Supervisor, engine: Engine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("fake_driver.free_port", lambda host: taken.getsockname()[1])
        assert failed(node, engine).failure == Failure.PORT_TAKEN


def test_an_engine_that_hangs_is_told_from_one_that_is_busy(
    node: Supervisor, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ready(node, engine)
    monkeypatch.setattr(config(), "engine_hang_timeout", 1.5)
    monkeypatch.setattr(openai_http, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr("serving.engines.running._WATCH_SECONDS", 0.1)
    httpx.post(f"http://{address}/fault", content="hang", trust_env=False)
    assert httpx.get(f"http://{address}/health", trust_env=False).status_code == 200
    assert failed(node, engine).failure == Failure.HUNG


def test_an_engine_that_answers_probes_slowly_but_generates_is_left_alone(
    node: Supervisor, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(node, engine)
    generated = iter(range(1_000_000))
    load = openai_http.EngineLoad
    monkeypatch.setattr(config(), "engine_hang_timeout", 0.3)
    monkeypatch.setattr("serving.engines.running._WATCH_SECONDS", 0.01)
    monkeypatch.setattr(openai_http, "load", lambda engine: load(1, 0, 0.5, next(generated)))
    httpx.post(f"http://{engine.address}/fault", content="hang", trust_env=False)
    monkeypatch.setattr(openai_http, "PROBE_SECONDS", 0.2)
    began = next(generated)
    wait_until(lambda: node.tick() or next(generated) > began + 60, what="many tokens have come")
    engine.refresh_from_db()
    assert engine.state == EngineState.READY
    entry = living_engines(redis_client())[0]
    assert (entry.running, entry.kv_usage) == (1, 0.5)


def test_an_engine_that_never_answers_is_given_up(
    node: Supervisor, engine: Engine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.arguments = ["--fail", "refuse"]
    monkeypatch.setattr(config(), "engine_start_timeout", 1)
    assert failed(node, engine).failure == Failure.STUCK_START


def test_an_engine_that_accepts_and_never_answers_is_given_up_and_holds_nobody_up(
    node: Supervisor, engine: Engine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.arguments = ["--fail", "hang"]
    monkeypatch.setattr(config(), "engine_start_timeout", 2)
    assert failed(node, engine).failure == Failure.STUCK_START


def test_a_full_disk_is_named_when_an_engine_cannot_be_started(
    node: Supervisor, engine: Engine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(spec: EngineSpec) -> EngineProcess:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(driver, "start", start)
    assert failed(node, engine).failure == Failure.DISK_FULL


def test_a_full_disk_keeps_an_adapter_out_and_rejects_nothing(
    node: Supervisor, engine: Engine, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = AdapterVersion.objects.create(
        adapter=cast.adapter, number=3, state=VersionState.VALIDATING, digest="ef" * 32, report={"ok": True}
    )

    def fetch(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("serving.adapters.store.node_copies.NodeCopies.fetch", fetch)
    ready(node, engine)
    version.refresh_from_db()
    assert version.state == VersionState.VALIDATING
    event = PlatformEvent.objects.filter(kind="adapter.refused", adapter=cast.adapter).first()
    assert event is not None
    assert "No space left on device" in event.sentence


def test_a_nearly_full_disk_is_an_event(node: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.engines.announcements._LITTLE_DISK_BYTES", 1 << 62)
    node.tick()
    assert PlatformEvent.objects.get(kind="node.disk_full").is_problem


def test_the_kernels_want_of_memory_is_told_from_a_person_with_kill_9(
    node: Supervisor, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(node, engine)
    monkeypatch.setattr(supervisor_module, "kernel_oom_kills", lambda: facts_module.kernel_oom_kills() + 1)
    assert engine.pid is not None
    __import__("os").kill(engine.pid, 9)
    assert failed(node, engine).failure == Failure.OUT_OF_MEMORY
    assert "no memory left" in engine.error


@pytest.mark.parametrize(
    "line", ["", "Available KV cache memory: 9.1 GiB", "listening on 127.0.0.1:8000", "It runs in a ROOM with OOMPH"]
)
def test_what_is_no_sign_of_anything_is_a_crash(line: str) -> None:
    assert failure_of("It was ended by SIGKILL.", line) == Failure.CRASHED


def test_many_adapters_are_loaded_several_at_a_time_and_never_more(
    node: Supervisor, engine: Engine, cast: Cast, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = Most()
    monkeypatch.setattr(driver, "load_adapter", most.watched(driver.load_adapter))
    AdapterVersion.objects.bulk_create(
        AdapterVersion(adapter=cast.adapter, number=10 + number, state=VersionState.READY, digest=f"{number:064x}")
        for number in range(200)
    )
    ready(node, engine)
    assert len(living_engines(redis_client())[0].resident) == 202
    assert 1 < most.at_once <= config().engine_loads_at_once


class Most:
    """How many calls of a function there were at the same time."""

    def __init__(self) -> None:
        self.now = self.at_once = 0

    def watched(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            self.now += 1
            self.at_once = max(self.at_once, self.now)
            try:
                function(*args)
            finally:
                self.now -= 1

        return call
