"""Chooses the engines that can answer for a target, best first.

Of the ready engines of the base model, those count that have the adapter loaded and whose kind the target allows. They
are tried in this order: the kind where the target is at home before its fallback; of one kind the engine that has
answered the same conversation before, while no other is much less busy; then the least busy. Engines that have been
failing come last.
"""

from hashlib import blake2b

from serving.fleet.registry import EngineEntry
from serving.gateway.body import Wish
from serving.gateway.catalogue import Target
from serving.gateway.engines.fleet import Fleet
from serving.gateway.errors import ModelNotReady, NoEngine

# A conversation keeps to its engine, whose cache knows it, until that has so many more tokens to do than the idlest.
_PATIENCE_TOKENS = 4096
# An engine with so much to do gets help with an adapter that it alone has.
_BUSY_TOKENS = 16_384
_EAGER = "eager"


def engines_for(target: Target, fleet: Fleet, wish: Wish) -> list[EngineEntry]:
    """The engines to try, in order.

    Raises:
        NoEngine: no engine that may answer is ready.
        ModelNotReady: some are, but none has loaded the adapter yet.
    """
    if target.adapter_version_id is None:
        engines = fleet.ready(target.base_model_id)
    else:
        engines = fleet.holders(target.base_model_id, target.engine_model)
    if len(engines) == 1 and engines[0].kind in target.kinds:
        return engines
    engines = [engine for engine in engines if engine.kind in target.kinds]
    if not engines:
        raise _nothing(target, fleet)
    if len(engines) > 1:
        _sort(engines, target, fleet, wish)
    return engines


def engine_to_load(target: Target, fleet: Fleet) -> EngineEntry | None:
    """The engine that should load an adapter for this request, of those that load on demand; None: there is none.

    It is the same one for the same adapter as long as the engines stay, so that each engine has its share of them.
    """
    engines = [
        engine
        for engine in fleet.ready(target.base_model_id)
        if engine.residency != _EAGER and engine.kind in target.kinds and engine.id not in fleet.breakers.open
    ]
    if not engines:
        return None
    name = target.engine_model.encode()
    return min(engines, key=lambda engine: (target.kinds.index(engine.kind), _lot(engine, name)))


def engine_to_share(target: Target, fleet: Fleet, busiest: EngineEntry) -> EngineEntry | None:
    """An engine that should load an adapter, too, since the one that has it has much more to do; None: none should."""
    if busiest.residency == _EAGER or fleet.load(busiest.id) < _BUSY_TOKENS:
        return None
    others = [
        engine
        for engine in fleet.ready(target.base_model_id)
        if engine.kind == busiest.kind
        and engine.residency != _EAGER
        and target.engine_model not in engine.resident
        and engine.id not in fleet.breakers.open
        and fleet.load(engine.id) < fleet.load(busiest.id) // 2
    ]
    return min(others, key=lambda engine: fleet.load(engine.id), default=None)


def why_not_at_home(target: Target, fleet: Fleet) -> str:
    """Why a target is not answered where it is at home, in a word for the header `x-polygraft-fallback`."""
    at_home = [engine for engine in fleet.ready(target.base_model_id) if engine.kind == target.kinds[0]]
    if not at_home:
        return "no_engine"
    if target.adapter_version_id is not None:
        at_home = [engine for engine in at_home if target.engine_model in engine.resident]
    return "failing" if at_home else "not_loaded"


def _sort(engines: list[EngineEntry], target: Target, fleet: Fleet, wish: Wish) -> None:
    kinds, avoided, load = target.kinds, fleet.breakers.open, fleet.load
    engines.sort(key=lambda engine: (engine.id in avoided, kinds.index(engine.kind), load(engine.id)))
    best = engines[0]
    peers = [engine for engine in engines if engine.kind == best.kind and engine.id not in avoided]
    if len(peers) > 1:
        conversation = wish.conversation
        known = min(peers, key=lambda engine: _lot(engine, conversation))
        if known is not best and load(known.id) <= load(best.id) + _PATIENCE_TOKENS:
            engines.remove(known)
            engines.insert(0, known)


def _lot(engine: EngineEntry, key: bytes) -> bytes:
    """A number that every process draws alike; who has the lowest of some engines is anybody's guess, and fair."""
    # No checksum: those of two engines differ in the same bits for every key, and one engine would win half of them.
    return blake2b(key, key=engine.id.encode()[:64], digest_size=8).digest()


def _nothing(target: Target, fleet: Fleet) -> NoEngine | ModelNotReady:
    ready = fleet.ready(target.base_model_id)
    if any(engine.kind in target.kinds for engine in ready):
        return ModelNotReady(f"The model '{target.asked}' is being loaded. Ask again in a few seconds.", param="model")
    message = f"No engine is ready for the model '{target.asked}' now. Ask again in a few seconds."
    if ready:
        message += " Your department's fallback policy keeps its requests from other kinds of engines."
    return NoEngine(message)
