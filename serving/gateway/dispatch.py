"""Has one engine after another try to answer a request until one does, and waits for engines that are on their way."""

import asyncio
import time
from collections.abc import Sequence

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.engines.kinds import EngineKind
from serving.engines.probes import is_about_the_path
from serving.fleet.registry import EngineEntry
from serving.fleet.wake import wake
from serving.gateway.auth import engine_cache_salt
from serving.gateway.body import Wish
from serving.gateway.call import Call, ClientLeft
from serving.gateway.catalogue import Target
from serving.gateway.engines.breaker import Breakers
from serving.gateway.engines.connection import BrokenOff, Silent, Stalled
from serving.gateway.engines.fleet import USUAL_TOKENS, Fleet
from serving.gateway.engines.pool import Pool, Unreachable, request_bytes
from serving.gateway.errors import (
    EndpointNotServed,
    EngineFailed,
    EngineOverloaded,
    EngineTimeout,
    GatewayError,
    ModelNotReady,
    NoEngine,
    ServiceError,
)
from serving.gateway.estimate import estimate_prompt
from serving.gateway.fairness import Fairness
from serving.gateway.observing.metrics import WAITS, count_retry
from serving.gateway.relay import FAILED, pass_on
from serving.gateway.route import engine_to_load, engine_to_share, engines_for, why_not_at_home
from serving.gateway.ways import way_to

log = structlog.get_logger(__name__)

# Statuses with which an engine says "not me, not now": another engine may do better.
_NOT_SERVED = "not_served"
_PASSED = {404: "not_loaded", 429: "overloaded", 501: _NOT_SERVED, 503: "overloaded"}
# Endpoints at which vLLM can be told who is next.
_RANKED = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
_REDIS_SECONDS = 1.0
_WAKE_SECONDS = 1.0


class Dispatch:
    """Sends requests to engines and keeps account of what is under way at each."""

    def __init__(
        self, pool: Pool, fleet: Fleet, fairness: Fairness, client: redis.asyncio.Redis, *, wait_seconds: float
    ) -> None:
        """Take the longest that a request waits for an adapter to be loaded or for an engine to wake."""
        self._pool = pool
        self._fleet = fleet
        self._fairness = fairness
        self._breakers: Breakers = fleet.breakers
        self._client = client
        self._wait_seconds = wait_seconds
        # Base model id → when an engine of it may be woken again by requests that others answer meanwhile.
        self._wake_again: dict[int, float] = {}

    async def answer(self, call: Call, wish: Wish, target: Target) -> None:
        """Let the best engine that can answer the request do so.

        Until the first byte of an answer has come, an engine that cannot be reached or is full is passed over, and one
        that breaks off or answers with a 5xx is, once: a request that brings engines down shall not bring all of them
        down.

        Raises:
            EngineRefused, EngineFailed, EngineTimeout: what the engine made of it.
            EngineOverloaded, ModelNotReady: every engine was passed over, or full for too long.
            QueueFull: too many requests of the department wait already.
            NoEngine: there is none, and none is on its way.
            EndpointNotServed: none of them does what the endpoint is for.
            InvalidValue: a field asks for what the engine cannot do.
            ClientLeft: the client has not taken anything for so long that the engine was let go.
        """
        # Twice, since an adapter may have left an engine that was just said to hold it.
        for _ in range(2):
            try:
                engines = engines_for(target, self._fleet, wish)
            except (NoEngine, ModelNotReady) as nothing:
                engines = await self._await_engines(target, wish, nothing)
            if target.adapter_version_id is not None:
                helper = engine_to_share(target, self._fleet, engines[0])
                if helper is not None:
                    await self._fleet.ask_for(helper, target.engine_model)
            engines = await self._fairness.take(call, engines, wish)
            if await self._try(call, wish, target, engines):
                return
            if call.fallback != "not_loaded":
                break
        raise _nobody(call, target)

    async def _try(self, call: Call, wish: Wish, target: Target, engines: Sequence[EngineEntry]) -> bool:
        """Try engines in turn; returns whether one has answered."""
        assert call.grant is not None  # noqa: S101  # for the type checker
        salt = engine_cache_salt(call.grant.cache_salt)
        fleet, breakers = self._fleet, self._breakers
        for engine in engines:
            way = way_to(call.endpoint, engine.kind)
            if way is None:
                continue
            call.engine = engine
            if (
                call.turn is not None
                and engine.kind == EngineKind.VLLM
                and engine.takes_priority
                and call.endpoint in _RANKED
            ):
                wish.body["priority"] = call.rank
            else:
                wish.body.pop("priority", None)
            body = wish.for_engine(way, target.engine_model, salt)
            tokens = _tokens(call, wish, body)
            if call.entry is not None:
                call.entry.asked(call)
            if engine.kind != target.kinds[0] and not call.fallback and way_to(call.endpoint, target.kinds[0]):
                call.fallback = why_not_at_home(target, fleet)
                await self._prepare_home(target, call.fallback)
            lines = "" if call.trace is None else call.trace.headers()
            request = request_bytes(way.path, engine.address, engine.secret, body, lines)
            fleet.enter(engine.id, tokens)
            connection = None
            try:
                connection = await self._pool.ask(engine.address, request)
                status = connection.status
                if status < 500 and status not in _PASSED:
                    if breakers.failing:
                        breakers.answered(engine.id)
                    if target.adapter_version_id is not None:
                        fleet.note_use(engine, target.engine_model)
                    await pass_on(call, wish, way, target, connection)
                    return True
                passed = _PASSED.get(status, "failed")
                if passed == "failed":
                    self._failed(call, engine, f"status {status}")
                elif status == 404 and is_about_the_path(await connection.read_all()):
                    passed = _NOT_SERVED
                elif passed == "not_loaded":
                    fleet.lost(engine, target.engine_model)
            except Unreachable:
                passed = "unreachable"
                breakers.failed(engine, passed, at_once=True)
            except BrokenOff as error:
                passed = "broken_off"
                self._failed(call, engine, str(error))
            except Silent as error:
                breakers.failed(engine, "silent")
                raise EngineTimeout("The engine has been silent for too long. Ask again.") from error
            except Stalled as error:
                raise ClientLeft from error
            finally:
                if connection is not None:
                    self._pool.give_back(engine.address, connection)
                fleet.leave(engine.id, tokens)
            call.fallback = passed
            count_retry(passed)
        return False

    def _failed(self, call: Call, engine: EngineEntry, reason: str) -> None:
        """An engine took the request and failed; another may try it, once, and only while the client knows nothing."""
        log.warning("engine.failed", engine_id=engine.id, reason=reason, request_id=call.id)
        self._breakers.failed(engine, "failed")
        if call.response_started or call.failed_before:
            raise EngineFailed(FAILED)
        call.failed_before = True

    async def _await_engines(self, target: Target, wish: Wish, nothing: ServiceError) -> list[EngineEntry]:
        """The engines that can answer as soon as there are some.

        Raises:
            NoEngine, ModelNotReady: waiting is in vain, or took too long.
        """
        until = time.monotonic() + self._wait_seconds
        if not await self._call_for_help(target):
            raise nothing
        WAITS.inc()
        while True:
            await self._fleet.news(until)
            try:
                return engines_for(target, self._fleet, wish)
            except (NoEngine, ModelNotReady):
                if time.monotonic() >= until:
                    raise
            # What has been loaded may have been displaced, and who has woken may have to load.
            await self._call_for_help(target)

    async def _call_for_help(self, target: Target) -> bool:
        """Have an adapter loaded or an engine woken; returns whether either is possible.

        Raises:
            NoEngine: it is, but takes longer than a request waits.
        """
        if target.adapter_version_id is not None:
            engine = engine_to_load(target, self._fleet)
            if engine is not None:
                await self._fleet.ask_for(engine, target.engine_model)
                return True
        seconds = await self._wake(target)
        if seconds is not None and seconds > self._wait_seconds:
            waking = NoEngine(f"The engines for the model '{target.asked}' slept and wake now, in about {seconds} s.")
            waking.retry_after = seconds
            raise waking
        return seconds is not None

    async def _prepare_home(self, target: Target, missing: str) -> None:
        """Have what is missing where a target is at home brought there, for the requests after this one."""
        if missing == "no_engine":
            await self._wake_now_and_then(target)
        elif missing == "not_loaded":
            engine = engine_to_load(target, self._fleet)
            if engine is not None and engine.kind == target.kinds[0]:
                await self._fleet.ask_for(engine, target.engine_model)

    async def _wake_now_and_then(self, target: Target) -> None:
        """Wake what sleeps of a base model, on behalf of all the requests of a second: each would cost a round trip."""
        now = time.monotonic()
        if self._wake_again.get(target.base_model_id, 0.0) <= now:
            self._wake_again[target.base_model_id] = now + _WAKE_SECONDS
            await self._wake(target)

    async def _wake(self, target: Target) -> int | None:
        """Wake what sleeps of a base model; returns the seconds that it takes, None when nothing sleeps."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return await wake(self._client, target.base_model_id)
        except (RedisError, OSError):
            return None


def _tokens(call: Call, wish: Wish, body: bytes) -> int:
    """What a request may cost an engine: a guess that only has to be fair between requests."""
    longest = wish.longest_completion(call.endpoint)
    return estimate_prompt(len(body)) + (USUAL_TOKENS if longest is None else longest)


def _nobody(call: Call, target: Target) -> GatewayError:
    reason = call.fallback
    if reason in ("", _NOT_SERVED):
        return EndpointNotServed(
            f"The model '{target.asked}' does not do {call.endpoint} on the engines that serve it now.", param="model"
        )
    if reason == "not_loaded":
        return ModelNotReady(f"The model '{target.asked}' is being loaded. Ask again in a few seconds.", param="model")
    if reason in ("broken_off", "failed"):
        return EngineFailed(FAILED)
    return EngineOverloaded("Every engine that could answer is full or cannot be reached. Ask again shortly.")
