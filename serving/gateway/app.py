"""The gateway: the steps of a request to /v1, in order.

authenticate → read the body → apply the policy → resolve the model → keep within limits → dispatch to an engine →
settle the account
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson
import structlog

from polygraft.asgi_types import Receive, Scope, Send
from serving.gateway import auth, document, feedback
from serving.gateway.body import parse_wish
from serving.gateway.call import Call, ClientLeft
from serving.gateway.callers.asgi_line import AsgiLine
from serving.gateway.callers.departure import Departure, Departures
from serving.gateway.callers.line import Line
from serving.gateway.conversation import conversation_key
from serving.gateway.errors import GatewayError, InternalError, InvalidValue, MethodNotAllowed, UnknownEndpoint
from serving.gateway.estimate import WITHOUT_COMPLETION
from serving.gateway.parts import Parts
from serving.gateway.reply import send_error, send_json
from serving.gateway.translate.messages_models import anthropic_model, anthropic_models
from serving.gateway.ways import INFERENCE

log = structlog.get_logger(__name__)

_CLIENT_LEFT_STATUS = 499
_ONE_MODEL = "/v1/models/"


class Endpoint(NamedTuple):
    """What can be asked at a path."""

    method: str
    scope: auth.Scope
    answer: Callable[[Parts, Call, auth.Grant], Awaitable[None]]


async def _complete(parts: Parts, call: Call, grant: auth.Grant) -> None:
    wish = parse_wish(await call.line.read_body(parts.max_request_bytes))
    parts.policy.apply(call.endpoint, wish.body)
    call.model, call.streamed = wish.model, wish.stream
    if wish.stream and call.endpoint in WITHOUT_COMPLETION:
        raise InvalidValue("'stream' is not possible here: this answer comes whole.", param="stream")
    target = call.target = await parts.catalogue.resolve(
        grant, wish.model, lambda: conversation_key(call.line.headers, wish.body)
    )
    await parts.limiter.reserve(call, target, wish)
    await parts.dispatch.answer(call, wish, target)


async def _list_models(parts: Parts, call: Call, grant: auth.Grant) -> None:
    models = await parts.catalogue.list_models(grant)
    listed = anthropic_models(models) if call.for_anthropic else {"object": "list", "data": models}
    await send_json(call, 200, orjson.dumps(listed))
    call.outcome = "finished"


async def _show_model(parts: Parts, call: Call, grant: auth.Grant) -> None:
    model = await parts.catalogue.find_model(grant, call.path.removeprefix(_ONE_MODEL))
    await send_json(call, 200, orjson.dumps(anthropic_model(model) if call.for_anthropic else model))
    call.outcome = "finished"


async def _take_feedback(parts: Parts, call: Call, grant: auth.Grant) -> None:
    await parts.feedback.take(call, grant)


async def _show_document(call: Call) -> None:
    """Anybody may read how the endpoints are called."""
    call.endpoint = document.PATH
    if call.line.method != "GET":
        raise MethodNotAllowed(call.line.method, document.PATH, "GET")
    await send_json(call, 200, document.document())
    call.outcome = "finished"


ENDPOINTS = {
    **{path: Endpoint("POST", auth.Scope.INFERENCE, _complete) for path in INFERENCE},
    feedback.PATH: Endpoint("POST", auth.Scope.INFERENCE, _take_feedback),
    "/v1/models": Endpoint("GET", auth.Scope.MODELS, _list_models),
    f"{_ONE_MODEL}{{id}}": Endpoint("GET", auth.Scope.MODELS, _show_model),
}


def _find_endpoint(call: Call) -> Endpoint:
    path = call.path
    name = f"{_ONE_MODEL}{{id}}" if path.startswith(_ONE_MODEL) and path != _ONE_MODEL else path
    endpoint = ENDPOINTS.get(name)
    if endpoint is None:
        raise UnknownEndpoint(f"There is no endpoint {path[:200]}. There are: {', '.join(ENDPOINTS)}.")
    call.endpoint = name
    method = call.line.method
    if method != endpoint.method:
        raise MethodNotAllowed(method, name, endpoint.method)
    return endpoint


async def _answer(parts: Parts, call: Call) -> None:
    try:
        if call.path == document.PATH:
            await _show_document(call)
            return
        endpoint = _find_endpoint(call)
        grant = await parts.authentication.admit(call, endpoint.scope)
        parts.accounts.admit(call)
        await endpoint.answer(parts, call, grant)
    except GatewayError as error:
        call.outcome = "refused" if error.status < 500 else "failed"
        await send_error(call, error)
    except (ClientLeft, OSError):  # OSError is how ASGI servers say that nobody listens any more
        raise
    except Exception:
        log.exception("request.failed", request_id=call.id)
        call.outcome = "failed"
        await send_error(call, InternalError(f"The gateway failed. The log knows more under {call.id}."))


async def _account(parts: Parts, call: Call) -> None:
    """Answer a request and settle its account, whatever happens."""
    parts.accounts.begin()
    try:
        await _answer(parts, call)
    except (ClientLeft, OSError):
        call.outcome = "aborted"
    except asyncio.CancelledError:
        call.outcome = "aborted"
        raise
    finally:
        if not call.response_started:
            call.status = _CLIENT_LEFT_STATUS
        try:
            parts.fairness.settle(call)
            parts.limiter.settle(call)
        finally:
            parts.accounts.settle(call)


class Gateway:
    """Answers requests under /v1/; also the ASGI application for these and for lifespan."""

    def __init__(self) -> None:
        self._parts: Parts | None = None
        self._starting = asyncio.Lock()
        self._departures = Departures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with Departure(self._departures, receive) as departure:
                line = AsgiLine(scope, receive, send, departure)
                try:
                    await self.answer(line)
                finally:
                    line.close()
        else:
            raise ValueError(f"The gateway does not speak {scope['type']}.")

    async def answer(self, line: Line) -> None:
        """Answer one request. To cancel it is to say that its client has left."""
        parts = self._parts or await self._start()
        call = Call(line)
        if parts.tracing.on:
            parts.tracing.begin(call)
        await _account(parts, call)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> Parts:
        # A server that sends no lifespan gets its parts with its first request.
        async with self._starting:
            if self._parts is None:
                parts = Parts()
                await parts.start()
                self._parts = parts
            return self._parts

    async def _stop(self) -> None:
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.stop()


gateway = Gateway()
