"""Keeps one node's engines as the database wishes them; the only place that knows both drivers and models."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import redis
import structlog
from django.utils import timezone

from polygraft.conf import config
from polygraft.live import Change, announce
from serving.adapters.lifecycle import version_make_ready, version_reject
from serving.adapters.node_copies import NodeCopies
from serving.adapters.probe_report import probe_failed
from serving.engines.driver import AdapterFiles, Driver, EngineError, EngineSpec
from serving.engines.drivers import DRIVERS
from serving.engines.facts import node_facts
from serving.engines.kinds import EngineKind
from serving.engines.names import digest_of, engine_adapter_name
from serving.engines.process import EngineProcess
from serving.models import AdapterVersion, Engine, EngineState, Node, VersionState
from serving.registry import EngineEntry, NodeEntry, engine_publish, engine_withdraw, node_publish, node_withdraw

_DRAIN_SECONDS = 30.0
_REFUSED_AGAIN_AFTER_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Running:
    """A process of this node, and what it holds."""

    process: EngineProcess
    driver: Driver
    started_at: float = field(default_factory=time.monotonic)
    draining_since: float | None = None
    resident: set[str] = field(default_factory=set)
    # Every name that it was ever given: vLLM reads an adapter again that it had evicted, and dies if it has gone.
    given: set[str] = field(default_factory=set)
    # Adapter name → when the engine refused it; tried again later, since it may have been short of memory.
    refused: dict[str, float] = field(default_factory=dict)

    def refused_lately(self, name: str) -> bool:
        """Whether the engine refused this adapter a moment ago."""
        refused_at = self.refused.get(name)
        return refused_at is not None and time.monotonic() - refused_at < _REFUSED_AGAIN_AFTER_SECONDS


class Supervisor:
    """Starts, watches, fills and stops the engines of one node. Used from one thread."""

    def __init__(self, node_name: str, client: redis.Redis) -> None:
        self._client = client
        self._running: dict[str, _Running] = {}
        self._copies = NodeCopies(config().home / "node" / "adapters")
        self._node, _ = Node.objects.update_or_create(
            name=node_name,
            defaults={"address": config().node_address, "last_seen_at": timezone.now(), "facts": node_facts()},
        )
        # Engines are tethered to their worker: those of an earlier one have ended with it.
        Engine.objects.living().filter(node=self._node).update(
            state=EngineState.STOPPED, error="The node's worker ended.", ended_at=timezone.now()
        )

    def tick(self) -> None:
        """Take every engine one step further and renew what the registry says."""
        node = self._node
        node_publish(self._client, NodeEntry(name=node.name, address=node.address, facts=node.facts))
        Node.objects.filter(pk=node.pk).update(last_seen_at=timezone.now())
        engines = Engine.objects.living().filter(node=node).select_related("deployment__base_model")
        for engine in engines:
            self._step(engine)
        self._copies.keep_only(self._held_digests())
        for engine_id in self._running.keys() - {str(engine.pk) for engine in engines}:
            # Given up by the reconciler while this node was thought lost.
            self._running.pop(engine_id).process.kill()
            engine_withdraw(self._client, engine_id)

    def stop(self, seconds: float) -> None:
        """End every engine of this node, within a time limit, and say so."""
        for engine_id, running in self._running.items():
            engine_withdraw(self._client, engine_id)
            running.driver.stop(running.process)
        announce(Change.ENGINES)
        deadline = time.monotonic() + seconds
        for engine_id, running in self._running.items():
            while running.process.exit_code() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            running.process.kill()
            Engine.objects.filter(pk=engine_id).living().update(state=EngineState.STOPPED, ended_at=timezone.now())
        self._running.clear()
        node_withdraw(self._client, self._node.name)

    def _held_digests(self) -> set[str]:
        names = set().union(*(running.given for running in self._running.values()))
        return {digest_of(name) for name in names}

    def _step(self, engine: Engine) -> None:
        running = self._running.get(str(engine.pk))
        try:
            if running is None:
                self._start(engine)
            elif running.process.exit_code() is not None:
                self._ended(engine, running)
            elif engine.state == EngineState.STARTING:
                self._await_ready(engine, running)
            elif engine.state == EngineState.READY:
                self._fill(engine, running)
                self._publish(engine, running)
            else:
                self._drain(engine, running)
        except (EngineError, OSError) as error:
            self._fail(engine, str(error))

    def _start(self, engine: Engine) -> None:
        if engine.state != EngineState.STARTING:
            self._fail(engine, "Its process is gone.")
            return
        base = engine.deployment.base_model
        kind = EngineKind(engine.deployment.engine_kind)
        driver = DRIVERS[kind]
        process = driver.start(
            EngineSpec(
                id=str(engine.pk),
                base_model=base.name,
                model_path=Path(base.gguf_path if kind is EngineKind.LLAMACPP else base.hf_path),
                host=config().node_address,
                log_path=config().home / "logs" / f"engine-{engine.pk}.log",
                options=engine.deployment.options,
            )
        )
        self._running[str(engine.pk)] = _Running(process=process, driver=driver)
        Engine.objects.filter(pk=engine.pk).update(pid=process.pid, address=process.address)
        log.info("engine starts", engine=str(engine.pk), pid=process.pid, base_model=base.name)

    def _await_ready(self, engine: Engine, running: _Running) -> None:
        try:
            running.driver.probe(running.process, engine.deployment.base_model.name)
        except EngineError:
            if time.monotonic() - running.started_at > config().engine_start_timeout:
                raise
            return
        self._fill(engine, running)
        if Engine.objects.filter(pk=engine.pk, state=EngineState.STARTING).update(
            state=EngineState.READY, ready_at=timezone.now()
        ):
            engine.state = EngineState.READY
            self._publish(engine, running)
            announce(Change.ENGINES)
            log.info("engine is ready", engine=str(engine.pk), adapters=len(running.resident))

    def _fill(self, engine: Engine, running: _Running) -> None:
        """Load what this engine should hold and does not, and unload what it should not hold."""
        wanted: dict[str, list[AdapterVersion]] = defaultdict(list)  # identical bytes have one name
        for version in (
            AdapterVersion.objects.wanted_on_engines(engine.deployment.base_model_id)
            .select_related("adapter__department", "adapter__base_model")
            .order_by("pk")
        ):
            wanted[engine_adapter_name(version.digest)].append(version)
        for name in running.resident - wanted.keys():
            running.driver.unload_adapter(running.process, name)
            running.resident.discard(name)
            self._announce_residency(engine, running)
        for name, versions in wanted.items():
            if name not in running.resident and not running.refused_lately(name):
                self._load(engine, running, name, versions)
            if name in running.resident:
                for version in versions:
                    if version.state == VersionState.VALIDATING:
                        version_make_ready(version)

    def _load(self, engine: Engine, running: _Running, name: str, versions: list[AdapterVersion]) -> None:
        version = versions[0]
        files = self._copies.fetch(version.digest, version.adapter.base_model.name)
        running.given.add(name)
        try:
            running.driver.load_adapter(
                running.process, AdapterFiles(name=name, peft_folder=files.peft_folder, gguf_file=files.gguf_file)
            )
            running.driver.probe(running.process, name)
        except EngineError as error:
            if running.process.exit_code() is not None:
                raise
            log.warning("engine refuses an adapter", engine=str(engine.pk), version=str(version), reason=str(error))
            running.refused[name] = time.monotonic()
            for validating in versions:
                version_reject(validating, report=probe_failed(validating.report, str(error)))
            return
        running.resident.add(name)
        self._announce_residency(engine, running)
        log.info("engine holds an adapter", engine=str(engine.pk), version=str(version))

    def _announce_residency(self, engine: Engine, running: _Running) -> None:
        if engine.state == EngineState.READY:
            self._publish(engine, running)
            announce(Change.ENGINES)

    def _publish(self, engine: Engine, running: _Running) -> None:
        base = engine.deployment.base_model
        engine_publish(
            self._client,
            EngineEntry(
                id=str(engine.pk),
                node=self._node.name,
                kind=engine.deployment.engine_kind,
                base_model_id=base.pk,
                base_model=base.name,
                address=running.process.address,
                secret=running.process.secret,
                state=engine.state,
                resident=frozenset(running.resident),
            ),
        )

    def _drain(self, engine: Engine, running: _Running) -> None:
        if running.draining_since is None:
            running.draining_since = time.monotonic()
            engine_withdraw(self._client, str(engine.pk))
            announce(Change.ENGINES)
            running.driver.stop(running.process)
        elif time.monotonic() - running.draining_since > _DRAIN_SECONDS:
            running.process.kill()

    def _ended(self, engine: Engine, running: _Running) -> None:
        if engine.state == EngineState.DRAINING:
            self._close(engine, EngineState.STOPPED, "")
        else:
            self._fail(
                engine,
                f"It ended with exit code {running.process.exit_code()}.\n{running.process.last_words()}".strip(),
            )

    def _fail(self, engine: Engine, reason: str) -> None:
        log.error("engine has failed", engine=str(engine.pk), reason=reason)
        self._close(engine, EngineState.FAILED, reason)

    def _close(self, engine: Engine, state: EngineState, reason: str) -> None:
        running = self._running.pop(str(engine.pk), None)
        if running is not None:
            running.process.kill()
        engine_withdraw(self._client, str(engine.pk))
        Engine.objects.filter(pk=engine.pk).living().update(state=state, error=reason, ended_at=timezone.now())
        announce(Change.ENGINES)
