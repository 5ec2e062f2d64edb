"""Sees to it that engines hold the versions of a rollout before requests are sent there."""

import time
from collections.abc import Iterable

from django.core.exceptions import ValidationError

from polygraft.live import CHANNEL, Change, redis_client
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import EngineEntry, asked_key, living_engines
from serving.models import Adapter, EngineState, Residency

# An adapter is loaded within a second or two; a machine with much to do takes longer.
WAIT_SECONDS = 20.0
# Who goes back goes at once when some engine holds the version, even if not every one does.
BACK_SECONDS = 0.5
_POLL_SECONDS = 0.05


def versions_await(adapter: Adapter, numbers: Iterable[int], *, patience: float = WAIT_SECONDS) -> None:
    """Have versions loaded wherever the adapter is answered now, and wait until they are.

    Where no engine runs there is nothing to wait for. After `patience` seconds one engine of each kind suffices.

    Raises:
        ValidationError: a version is still on no engine after 20 seconds.
    """
    digests = dict(adapter.versions.values_list("number", "digest"))
    wanted = {engine_adapter_name(digests[number]): number for number in numbers if digests.get(number)}
    present = {engine_adapter_name(digests[number]) for number in adapter.weights if digests.get(number)}
    began = time.monotonic()
    asked: set[tuple[str, str]] = set()
    while True:
        engines = _answering(adapter.base_model_id, present)
        missing = {(engine.id, name) for engine in engines for name in wanted if name not in engine.resident}
        if not missing:
            return
        waited = time.monotonic() - began
        nowhere = {
            name
            for kind in {engine.kind for engine in engines}
            for name in wanted
            if not any(name in engine.resident for engine in engines if engine.kind == kind)
        }
        if waited >= patience and not nowhere:
            return
        if waited >= WAIT_SECONDS:
            versions = ", ".join(str(wanted[name]) for name in sorted(nowhere, key=lambda name: wanted[name]))
            raise ValidationError(
                {"versions": [f"Version {versions} of {adapter.name} is on no engine yet. Try again in a minute."]}
            )
        if new := missing - asked:
            asked |= new
            _ask_for(engines, new)
        time.sleep(_POLL_SECONDS)


def _answering(base_model_id: int, present: set[str]) -> list[EngineEntry]:
    """The ready engines that answer for the adapter now, or will: those that hold every adapter anyway count, too."""
    return [
        engine
        for engine in living_engines(redis_client())
        if engine.base_model_id == base_model_id
        and engine.state == EngineState.READY
        and (engine.residency == Residency.EAGER or not present.isdisjoint(engine.resident))
    ]


def _ask_for(engines: list[EngineEntry], missing: set[tuple[str, str]]) -> None:
    """Say at each engine that these adapters are wanted, as gateways do, and wake the agents."""
    client = redis_client()
    on_demand = {engine.id for engine in engines if engine.residency != Residency.EAGER}
    for engine_id, name in missing:
        if engine_id in on_demand:
            client.zadd(asked_key(engine_id), {name: time.time()})
    client.publish(CHANNEL, Change.WORK.value)
