"""Keeps one node's engines as the database wishes them; the only place that knows both drivers and models."""

import time
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
from serving.engines.names import digest_of
from serving.engines.options import slots
from serving.engines.process import EngineProcess
from serving.models import AdapterVersion, Engine, EngineState, Node, Residency
from serving.registry import EngineEntry, NodeEntry, engine_publish, engine_withdraw, node_publish, node_withdraw
from serving.residency import Wish, asked_take, residency_wish

_DRAIN_SECONDS = 30.0
_REFUSED_AGAIN_AFTER_SECONDS = 30.0
_LOOK_SECONDS = 10.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Running:
    """A process of this node, and what it holds."""

    process: EngineProcess
    driver: Driver
    started_at: float = field(default_factory=time.monotonic)
    draining_since: float | None = None
    resident: set[str] = field(default_factory=set)
    looked_at: float = float("-inf")
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
        self._wishes: dict[int, Wish] = {}
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
        self._wishes.clear()
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
        wish = self._wish(engine)
        self._look_at_residents(engine, running)
        asked: dict[str, float] = {}
        if wish.residency is not Residency.EAGER:
            asked = asked_take(self._client, str(engine.pk), keep=2 * wish.slots)
        wanted = wish.names(asked=asked, resident=running.resident)
        for name in running.resident.difference(wanted):
            # Out of routing first, so that no request comes for what is just leaving.
            running.resident.discard(name)
            self._announce_residency(engine, running)
            running.driver.unload_adapter(running.process, name)
        for name in wanted:
            if name not in running.resident and not running.refused_lately(name):
                self._load(engine, running, name, wish.validating.get(name, []))
        for name in wish.validating.keys() & running.resident:
            for version in AdapterVersion.objects.select_related("adapter__department").filter(
                pk__in=wish.validating[name]
            ):
                version_make_ready(version)

    def _wish(self, engine: Engine) -> Wish:
        """What the engine should hold by the database, read once a tick for all engines of a deployment."""
        if engine.deployment_id not in self._wishes:
            self._wishes[engine.deployment_id] = residency_wish(engine.deployment)
        return self._wishes[engine.deployment_id]

    def _look_at_residents(self, engine: Engine, running: _Running) -> None:
        """Ask the engine now and then what it holds, rather than trust what it was told to load."""
        if time.monotonic() - running.looked_at < _LOOK_SECONDS:
            return
        running.looked_at = time.monotonic()
        try:
            held = running.driver.loaded_adapters(running.process)
        except EngineError as error:
            log.warning("engine does not say what it holds", engine=str(engine.pk), reason=str(error))
            return
        if held != running.resident:
            if running.resident:
                log.warning("engine holds other adapters than it was given", engine=str(engine.pk), held=len(held))
            running.resident = held
            running.given |= held
            self._announce_residency(engine, running)

    def _load(self, engine: Engine, running: _Running, name: str, validating: list[int]) -> None:
        files = self._copies.fetch(digest_of(name), engine.deployment.base_model.name)
        running.given.add(name)
        try:
            running.driver.load_adapter(
                running.process, AdapterFiles(name=name, peft_folder=files.peft_folder, gguf_file=files.gguf_file)
            )
            running.driver.probe(running.process, name)
        except EngineError as error:
            if running.process.exit_code() is not None:
                raise
            log.warning("engine refuses an adapter", engine=str(engine.pk), adapter=name, reason=str(error))
            running.refused[name] = time.monotonic()
            for version in AdapterVersion.objects.select_related("adapter__department").filter(pk__in=validating):
                version_reject(version, report=probe_failed(version.report, str(error)))
            return
        running.resident.add(name)
        self._announce_residency(engine, running)
        log.info("engine holds an adapter", engine=str(engine.pk), adapter=name)

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
                residency=engine.deployment.residency,
                slots=slots(EngineKind(engine.deployment.engine_kind), engine.deployment.options),
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
