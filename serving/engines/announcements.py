"""What a node tells others of itself and its engines: that they live, what they hold, the end of their logs."""

import socket
from typing import Any

import redis
from django.utils import timezone

from polygraft.conf import GIB, config
from polygraft.live import Change, announce
from serving.engines.facts import NodeFacts
from serving.engines.kinds import EngineKind
from serving.engines.logs import log_tail
from serving.engines.options import slots, takes_priority
from serving.engines.process import EngineProcess
from serving.engines.running import RunningEngine
from serving.events import event_record
from serving.fleet.engine_logs import engine_log_put
from serving.fleet.registry import (
    EngineEntry,
    NodeEntry,
    engine_publish,
    engine_withdraw,
    living_nodes,
    node_publish,
    node_withdraw,
)
from serving.models import Engine, Node

_LITTLE_DISK_BYTES = GIB


class NodeTaken(Exception):
    """Another machine, or another state folder, runs under this node's name; the message says what to do."""


def node_announce(client: redis.Redis) -> None:
    """Say that this node lives.

    Raises:
        NodeTaken: it is another one that lives under its name.
    """
    _publish_node(client, config().node_name, NodeFacts().now())


class Announcements:
    """A node's voice. Used from one thread."""

    def __init__(self, node_name: str, client: redis.Redis) -> None:
        self._client = client
        self._facts = NodeFacts()
        self._entries: dict[str, EngineEntry] = {}
        self._log_sizes: dict[str, int] = {}
        self.node, _ = Node.objects.update_or_create(
            name=node_name,
            defaults={"address": config().node_address, "last_seen_at": timezone.now(), "facts": self._facts.now()},
        )
        _publish_node(client, node_name, self._facts.now())

    def facts(self) -> dict[str, Any]:
        """What the node says of its machine."""
        return self._facts.now()

    def beat(self) -> None:
        """Say that the node lives, and how it does."""
        facts = self._facts.now()
        _publish_node(self._client, self.node.name, facts)
        Node.objects.filter(pk=self.node.pk).update(last_seen_at=timezone.now(), facts=facts)
        if facts["disk_free_bytes"] < _LITTLE_DISK_BYTES:
            sentence = f"The disk of {self.node} is nearly full: engines cannot write logs nor take in adapters."
            event_record(kind="node.disk_full", sentence=sentence, node=self.node, is_problem=True)

    def beat_without_database(self) -> None:
        """Say that the node and its engines live, as they were said to last."""
        _publish_node(self._client, self.node.name, self._facts.now())
        for entry in self._entries.values():
            engine_publish(self._client, entry)

    def leave(self) -> None:
        """Say that the node is gone, on purpose."""
        node_withdraw(self._client, self.node.name)

    def publish(self, engine: Engine, running: RunningEngine) -> None:
        """Say what an engine is and holds; loudly when gateways should know at once."""
        base = engine.deployment.base_model
        kind = EngineKind(engine.deployment.engine_kind)
        load = running.load
        entry = EngineEntry(
            id=str(engine.pk),
            node=self.node.name,
            kind=kind,
            base_model_id=base.pk,
            base_model=base.name,
            address=running.process.address,
            secret=running.process.secret,
            state=engine.state,
            resident=frozenset(running.resident),
            residency=engine.deployment.residency,
            slots=slots(kind, engine.deployment.options),
            takes_priority=takes_priority(kind, engine.deployment.options),
            running=load.running if load else 0,
            waiting=load.waiting if load else 0,
            kv_usage=load.kv_usage if load else 0.0,
        )
        engine_publish(self._client, entry)
        before = self._entries.get(entry.id)
        self._entries[entry.id] = entry
        if before is None or (before.resident, before.state) != (entry.resident, entry.state):
            announce(Change.ENGINES)

    def withdraw(self, engine_id: str) -> None:
        """Take an engine out of routing at once."""
        self._entries.pop(engine_id, None)
        self._log_sizes.pop(engine_id, None)
        engine_withdraw(self._client, engine_id)

    def put_log(self, engine_id: str, process: EngineProcess) -> None:
        """Show the end of an engine's log, if there is something new in it."""
        try:
            size = process.log_path.stat().st_size
        except OSError:
            return
        if self._log_sizes.get(engine_id) != size:
            self._log_sizes[engine_id] = size
            engine_log_put(self._client, engine_id, log_tail(process.log_path, process.secret))


def _publish_node(client: redis.Redis, name: str, facts: dict[str, Any]) -> None:
    place = f"{socket.gethostname()}:{config().home}"
    for node in living_nodes(client):
        if node.name == name and node.place not in ("", place):
            raise NodeTaken(
                f"A node called {name} lives at {node.place}, and this one is at {place}: "
                "give each a POLYGRAFT_NODE_NAME of its own."
            )
    node_publish(client, NodeEntry(name=name, address=config().node_address, facts=facts, place=place))
