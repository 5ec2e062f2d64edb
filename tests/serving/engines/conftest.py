"""A node with one engine that is about to start, and the driver of fake engines behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cast import Cast
from fake_driver import FakeDriver
from polygraft.conf import config
from polygraft.live import redis_client
from serving.adapters.store.node_copies import Copy, NodeCopies
from serving.engines import supervisor as supervisor_module
from serving.engines.kinds import EngineKind
from serving.engines.supervisor import Supervisor
from serving.fleet.registry import ENGINES_KEY, NODES_KEY
from serving.models import Engine, Node


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    driver = FakeDriver()
    monkeypatch.setattr(supervisor_module, "DRIVERS", {EngineKind.LLAMACPP: driver})
    monkeypatch.setattr(
        NodeCopies, "fetch", lambda self, digest, base: Copy(peft_folder=Path("/peft"), gguf_file=Path("/gguf"))
    )
    return driver


@pytest.fixture
def node(cast: Cast, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A node whose engines end with it."""
    monkeypatch.setattr(config(), "tether_engines", True)
    redis_client().delete(ENGINES_KEY, NODES_KEY)
    node = Supervisor("node-1", redis_client())
    yield node
    node.stop(5)
    redis_client().delete(ENGINES_KEY, NODES_KEY)


@pytest.fixture
def engine(cast: Cast) -> Engine:
    return Engine.objects.create(deployment=cast.deployment, node=Node.objects.get(name="node-1"))
