"""Keeps one node's engines as the database wishes them; the only place that knows both drivers and models."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ALL_COMPLETED, wait
from pathlib import Path

import redis
import structlog
from django.utils import timezone

from polygraft.conf import config
from polygraft.live import Change, announce
from serving.adapters.lifecycle import version_make_ready, version_reject
from serving.adapters.probe_report import probe_failed
from serving.adapters.store.node_copies import NodeCopies
from serving.engines.announcements import Announcements
from serving.engines.driver import EngineError, EngineSpec
from serving.engines.drivers import DRIVERS
from serving.engines.facts import kernel_oom_kills
from serving.engines.failures import failure_of, failure_of_error
from serving.engines.gpus import gpus_for
from serving.engines.kinds import EngineKind
from serving.engines.logs import headline, last_words, log_shorten, log_tail
from serving.engines.names import digest_of
from serving.engines.process import EngineProcess
from serving.engines.records import Records
from serving.engines.remains import end_remains
from serving.engines.returning import engines_take_back
from serving.engines.running import Refusal, RunningEngine
from serving.events import event_record
from serving.fleet.residency import Wish, asked_take, residency_wish
from serving.models import AdapterVersion, Engine, EngineState, Failure, Residency

# How long one turn may wait for engines' answers; what is not there by then is taken at a later turn.
_PATIENCE_SECONDS = 0.5
# Gateways read the registry at least this often; until then requests still arrive at an engine that drains.
_LAST_REQUESTS_SECONDS = 2.0
# From SIGTERM to SIGKILL; both kinds of engine finish their requests by themselves in between.
_END_SECONDS = 40.0

log = structlog.get_logger()


class Failed(Exception):
    """An engine has failed, and of what; the message is for people."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class Supervisor:
    """Starts, watches, fills and stops the engines of one node. Used from one thread.

    Engines of an earlier worker that still run are taken over; those that do not are closed.
    """

    def __init__(self, node_name: str, client: redis.Redis) -> None:
        self._client = client
        self._running: dict[str, RunningEngine] = {}
        self._wishes: dict[int, Wish] = {}
        folder = config().home / "node"
        self._copies = NodeCopies(folder / "adapters")
        self._records = Records(folder / "engines")
        self._said = Announcements(node_name, client)
        self._node = self._said.node
        self._take_over()

    def tick(self) -> None:
        """Take every engine as far as it gets in a moment and renew what the registry says."""
        self._said.beat()
        self._wishes.clear()
        engines = Engine.objects.living().filter(node=self._node).select_related("deployment__base_model")
        living = {str(engine.pk): engine for engine in engines}
        living |= self._take_back(self._running.keys() - living.keys())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for engine in living.values():
            self._begin(engine)
        while True:
            for engine in living.values():
                self._step(engine)
            awaited = [call for running in self._running.values() for call in running.awaited()]
            patience = deadline - time.monotonic()
            if not awaited or patience <= 0:
                break
            wait(awaited, timeout=patience, return_when=ALL_COMPLETED)
        for engine_id, running in self._running.items():
            if engine_id in living and living[engine_id].state == EngineState.READY:
                self._said.publish(living[engine_id], running)
        self._tidy(living)

    def beat(self) -> None:
        """Say that the node and its engines are alive, when a tick cannot: they are, with or without the database."""
        self._said.beat_without_database()

    def stop(self, seconds: float) -> None:
        """Leave every engine of this node to the next worker; or end it, within a time limit, if it is tethered."""
        if not config().tether_engines:
            for running in self._running.values():
                running.leave()
            self._running.clear()
            return
        for engine_id, running in self._running.items():
            self._said.withdraw(engine_id)
            running.stop()
        announce(Change.ENGINES)
        deadline = time.monotonic() + seconds
        for engine_id, running in self._running.items():
            while running.process.lives() and time.monotonic() < deadline:
                time.sleep(0.05)
            running.kill()
            self._records.forget(engine_id)
            Engine.objects.filter(pk=engine_id).update(state=EngineState.STOPPED, ended_at=timezone.now())
        self._running.clear()
        self._said.leave()

    def _take_back(self, given_up: Collection[str]) -> dict[str, Engine]:
        """The engines that still run and were given up while this node was thought lost."""
        left = {engine_id: self._running[engine_id] for engine_id in given_up}
        running = [engine_id for engine_id, engine in left.items() if engine.process.lives()]
        if not running:
            return {}
        for engine_id in running:
            self._said.withdraw(engine_id)  # so that it is announced as if it were new
        return engines_take_back(running, draining=[one for one in running if left[one].draining_since is not None])

    def _take_over(self) -> None:
        living = {
            str(engine.pk): engine
            for engine in Engine.objects.living().filter(node=self._node).select_related("deployment__base_model")
        }
        given_up = set(self._records.engine_ids()) - living.keys()
        living |= engines_take_back([engine_id for engine_id in given_up if self._records.find(engine_id)])
        for engine_id, engine in living.items():
            process = self._records.find(engine_id)
            if process is not None:
                self._adopt(engine, process)
                continue
            last = self._records.last(engine_id)
            end_remains(engine_id, last.identity if last else None)
            if engine.state != EngineState.STARTING or engine.pid:
                Engine.objects.filter(pk=engine.pk).update(
                    state=EngineState.STOPPED, error="It ended while no worker watched it.", ended_at=timezone.now()
                )
        for engine_id in set(self._records.engine_ids()) - living.keys():
            # Ended by others, or its deployment was deleted.
            last = self._records.last(engine_id)
            if last is not None:
                last.kill()
            self._records.forget(engine_id)

    def _adopt(self, engine: Engine, process: EngineProcess) -> None:
        running = self._make_running(engine, process)
        running.answers = engine.state != EngineState.STARTING
        running.given = self._records.given(str(engine.pk))
        event_record(kind="engine.taken_over", sentence=f"{_name(engine)} goes on under a new worker.", engine=engine)

    def _make_running(self, engine: Engine, process: EngineProcess) -> RunningEngine:
        driver = DRIVERS[EngineKind(engine.deployment.engine_kind)]
        running = RunningEngine(process, driver, self._copies, engine.deployment.base_model.name)
        self._running[str(engine.pk)] = running
        return running

    def _begin(self, engine: Engine) -> None:
        """What is done once a tick: start, probe, measure, read the log."""
        engine_id = str(engine.pk)
        running = self._running.get(engine_id)
        if running is None:
            self._guarded(engine, self._start)
            return
        log_shorten(running.process.log_path)
        self._said.put_log(engine_id, running.process)
        if not running.answers:
            running.begin_probe()

    def _step(self, engine: Engine) -> None:
        """What may be done again and again within a tick."""
        if str(engine.pk) in self._running:
            self._guarded(engine, self._move_on)

    def _guarded(self, engine: Engine, step: Callable[[Engine], None]) -> None:
        try:
            step(engine)
        except Failed as failed:
            self._fail(engine, failed.failure, str(failed))
        except EngineError as error:
            self._fail(engine, Failure.NOT_STARTED, str(error))
        except OSError as error:
            self._fail(engine, failure_of_error(error), str(error))

    def _start(self, engine: Engine) -> None:
        if engine.state != EngineState.STARTING:
            raise Failed(Failure.CRASHED, "Its process is gone.")
        base = engine.deployment.base_model
        kind = EngineKind(engine.deployment.engine_kind)
        process = DRIVERS[kind].start(
            EngineSpec(
                id=str(engine.pk),
                base_model=base.name,
                model_path=Path(base.gguf_path if kind is EngineKind.LLAMACPP else base.hf_path),
                host=config().node_address,
                log_path=config().home / "logs" / f"engine-{engine.pk}.log",
                gpus=self._gpus(engine, kind),
                tethered=config().tether_engines,
                takes_adapters=base.takes_adapters,
                options=engine.deployment.options,
            )
        )
        running = self._make_running(engine, process)
        self._records.write(process, running.given)
        Engine.objects.filter(pk=engine.pk).update(pid=process.pid, address=process.address)
        event_record(kind="engine.starts", sentence=f"{_name(engine)} starts on {self._node}.", engine=engine)

    def _gpus(self, engine: Engine, kind: EngineKind) -> tuple[int, ...]:
        """Those that the placement chose; for vLLM that was placed without, those with the most room."""
        if engine.gpus or kind is not EngineKind.VLLM:
            return tuple(engine.gpus)
        others = Engine.objects.living().filter(node=self._node).exclude(pk=engine.pk)
        taken = {gpu for gpus in others.values_list("gpus", flat=True) for gpu in gpus}
        count = engine.deployment.options.get("tensor_parallel_size", 1)
        gpus = gpus_for(count, self._said.facts().get("gpus", []), taken)
        Engine.objects.filter(pk=engine.pk).update(gpus=list(gpus))
        return gpus

    def _move_on(self, engine: Engine) -> None:
        running = self._running[str(engine.pk)]
        if engine.state == EngineState.DRAINING:
            self._drain(engine, running)
        elif not running.process.lives():
            raise self._ended(running)
        elif not running.answers:
            self._await_answer(engine, running)
        else:
            self._fill(engine, running)
            if engine.state == EngineState.READY and not running.watch():
                seconds = f"{config().engine_hang_timeout:.0f} s"
                raise Failed(Failure.HUNG, f"It is reachable, but no token came from it for {seconds}.")

    def _await_answer(self, engine: Engine, running: RunningEngine) -> None:
        if running.take_probe():
            running.answers = True
        elif time.monotonic() - running.started_at > config().engine_start_timeout:
            seconds = f"{config().engine_start_timeout:.0f} s"
            raise Failed(Failure.STUCK_START, f"It did not answer within {seconds} of its start.")

    def _fill(self, engine: Engine, running: RunningEngine) -> None:
        """Load what this engine should hold and does not, and unload what it should not hold."""
        if running.look():
            log.info("engine tells what it holds", engine=str(engine.pk), adapters=len(running.resident))
        if not running.has_told:
            return
        wish = self._wish(engine)
        asked: dict[str, float] = {}
        if wish.residency is not Residency.EAGER:
            asked = asked_take(self._client, str(engine.pk), keep=2 * wish.slots)
        for result in running.take_loaded():
            if isinstance(result, Refusal):
                self._refused(engine, result, wish.validating.get(result.name, []))
        wanted = wish.names(asked=asked, resident=running.resident)
        leaving = running.dismiss(wanted)
        if leaving and engine.state == EngineState.READY:
            # First out of routing, so that no request comes for what is just leaving.
            self._said.publish(engine, running)
        running.unload(leaving)
        running.fill(wanted)
        if running.given != running.noted:
            self._records.write(running.process, running.given)
            running.noted = set(running.given)
        for name in wish.validating.keys() & running.resident:
            for version in _versions(wish.validating.pop(name)):
                version_make_ready(version)
        if engine.state == EngineState.STARTING and running.is_filled():
            self._become_ready(engine, running)

    def _become_ready(self, engine: Engine, running: RunningEngine) -> None:
        if not Engine.objects.filter(pk=engine.pk).update(state=EngineState.READY, ready_at=timezone.now()):
            return
        engine.state = EngineState.READY
        self._said.publish(engine, running)
        seconds = (timezone.now() - engine.created_at).total_seconds()
        adapters = f"{len(running.resident)} adapter{'' if len(running.resident) == 1 else 's'}"
        sentence = f"{_name(engine)} is ready on {self._node} after {seconds:.0f} s, with {adapters}."
        event_record(kind="engine.ready", sentence=sentence, engine=engine)

    def _wish(self, engine: Engine) -> Wish:
        """What the engine should hold by the database, read once a tick for all engines of a deployment."""
        if engine.deployment_id not in self._wishes:
            self._wishes[engine.deployment_id] = residency_wish(engine.deployment)
        return self._wishes[engine.deployment_id]

    def _refused(self, engine: Engine, refusal: Refusal, validating: list[int]) -> None:
        log.warning("adapter is not loaded", engine=str(engine.pk), adapter=refusal.name, reason=refusal.reason)
        if refusal.by_engine and self._running[str(engine.pk)].process.lives():
            for version in _versions(validating):
                version_reject(version, report=probe_failed(version.report, refusal.reason))
        for version in _versions(self._wish(engine).versions.get(refusal.name, [])):
            sentence = f"{_name(engine)} does not load {version.adapter}:{version.number}: {refusal.reason}"
            event_record(
                kind="adapter.refused", sentence=sentence, engine=engine, adapter=version.adapter, is_problem=True
            )

    def _drain(self, engine: Engine, running: RunningEngine) -> None:
        """Out of routing, finish what is under way up to a limit, end."""
        now = time.monotonic()
        if running.draining_since is None:
            running.draining_since = now
            self._said.withdraw(str(engine.pk))
            announce(Change.ENGINES)
        if not running.process.lives():
            self._close(engine, EngineState.STOPPED)
            event_record(kind="engine.stopped", sentence=f"{_name(engine)} has stopped.", engine=engine)
            return
        if running.terminated_at is not None:
            if now - running.terminated_at > _END_SECONDS:
                running.kill()
            return
        running.watch()
        drained = now - running.draining_since
        is_idle = running.load is None or running.load.running + running.load.waiting == 0
        if drained > config().engine_drain_timeout or (drained > _LAST_REQUESTS_SECONDS and is_idle):
            running.stop()

    def _ended(self, running: RunningEngine) -> Failed:
        ending = running.process.how_it_ended()
        tail = log_tail(running.process.log_path, running.process.secret)
        words = last_words(tail)
        failure = failure_of(ending, words)
        if failure is Failure.CRASHED and "SIGKILL" in ending and kernel_oom_kills() > running.oom_kills:
            failure = Failure.OUT_OF_MEMORY
            ending = "The kernel ended it, since the machine had no memory left."
        return Failed(failure, f"{ending}\n{words}".strip())

    def _fail(self, engine: Engine, failure: Failure, reason: str) -> None:
        self._close(engine, EngineState.FAILED, failure, reason)
        sentence = f"{_name(engine)} has failed on {self._node}. {failure.label}: {headline(reason)}"
        event_record(kind="engine.failed", sentence=sentence, engine=engine, is_problem=True)

    def _close(self, engine: Engine, state: EngineState, failure: str = "", reason: str = "") -> None:
        engine_id = str(engine.pk)
        running = self._running.pop(engine_id, None)
        self._said.withdraw(engine_id)
        if running is not None:
            running.kill()
            self._said.put_log(engine_id, running.process)
        self._records.forget(engine_id)
        Engine.objects.filter(pk=engine.pk).update(state=state, failure=failure, error=reason, ended_at=timezone.now())
        announce(Change.ENGINES)

    def _tidy(self, living: dict[str, Engine]) -> None:
        for engine_id in self._running.keys() - living.keys():
            # Ended by others, or its deployment was deleted.
            self._running.pop(engine_id).kill()
            self._records.forget(engine_id)
            self._said.withdraw(engine_id)
        if all(running.has_told or not running.answers for running in self._running.values()):
            names = set().union(*(running.given for running in self._running.values()))
            self._copies.keep_only({digest_of(name) for name in names})


def _versions(pks: list[int]) -> list[AdapterVersion]:
    return list(AdapterVersion.objects.select_related("adapter__department", "adapter__base_model").filter(pk__in=pks))


def _name(engine: Engine) -> str:
    """An engine as sentences call it."""
    return f"Engine {engine.pk.hex[:8]} of {engine.deployment}"
