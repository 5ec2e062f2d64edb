"""The HTTP routes, in the OpenAI dialect with vLLM's routes for adapters."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .embeddings import parse_embeddings
from .errors import BodyTooLarge, HostError, Unauthorised
from .host import Host
from .protocol import CompletionRequest, parse_adapter, parse_chat, parse_completion
from .replies import Reply
from .streaming import AnswerResponse
from .tokenizing import tokenize

_LARGEST_BODY = 16 * 2**20  # bytes

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(host: Host, secret: str | None) -> ASGIApp:
    """The host's ASGI application; with a secret, every route but /health asks for it."""
    return Starlette(
        routes=[
            Route("/health", _health(host)),
            Route("/metrics", _metrics(host)),
            Route("/v1/models", _models(host)),
            Route("/v1/chat/completions", _completions(host, parse_chat), methods=["POST"]),
            Route("/v1/completions", _completions(host, parse_completion), methods=["POST"]),
            Route("/v1/embeddings", _embeddings(host), methods=["POST"]),
            Route("/tokenize", _tokenize(host), methods=["POST"]),
            Route("/v1/load_lora_adapter", _load(host), methods=["POST"]),
            Route("/v1/unload_lora_adapter", _unload(host), methods=["POST"]),
        ],
        middleware=[Middleware(_Guard, secret=secret)] if secret else [],
        exception_handlers={HostError: _refusal, HTTPException: _http_refusal},
    )


def _health(host: Host) -> Endpoint:
    async def health(_: Request) -> Response:
        return Response(status_code=200 if host.ready else 503)

    return health


def _metrics(host: Host) -> Endpoint:
    async def metrics(_: Request) -> Response:
        return PlainTextResponse(host.metrics.render(), media_type="text/plain; version=0.0.4")

    return metrics


def _models(host: Host) -> Endpoint:
    async def models(_: Request) -> Response:
        base, *adapters = host.registry
        shared: dict[str, Any] = {"object": "model", "owned_by": "polygraft", "max_model_len": host.options.ctx_size}
        root: dict[str, Any] = {"id": base.name, "root": str(host.options.model), "parent": None}
        grafts = [{"id": one.name, "root": str(one.path), "parent": base.name} for one in adapters]
        return JSONResponse({"object": "list", "data": [shared | one for one in (root, *grafts)]})

    return models


def _completions(host: Host, parse: Callable[[bytes], CompletionRequest]) -> Endpoint:
    async def completions(request: Request) -> Response:
        intake = host.intake
        wanted = parse(await _body(request))
        answer, choices = await intake.begin(wanted)
        return AnswerResponse(
            answer,
            choices,
            Reply(wanted.model, wanted.messages is not None, wanted.logprobs is not None, intake.model),
            stream=wanted.stream,
            include_usage=wanted.include_usage or host.options.enable_force_include_usage,
        )

    return completions


def _embeddings(host: Host) -> Endpoint:
    async def embeddings(request: Request) -> Response:
        return JSONResponse(await host.embeddings.answer(parse_embeddings(await _body(request))))

    return embeddings


def _tokenize(host: Host) -> Endpoint:
    async def tokenized(request: Request) -> Response:
        return JSONResponse(await tokenize(await _body(request), host.intake))

    return tokenized


def _load(host: Host) -> Endpoint:
    async def load(request: Request) -> Response:
        name, path = parse_adapter(await _body(request))
        await host.registry.load(name, path)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    return load


def _unload(host: Host) -> Endpoint:
    async def unload(request: Request) -> Response:
        name, _ = parse_adapter(await _body(request))
        await host.registry.unload(name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    return unload


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise BodyTooLarge(f"The request's body is larger than {_LARGEST_BODY} bytes.")
    return bytes(body)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HostError)  # noqa: S101 - registered for nothing else
    return JSONResponse(error.body(), error.status, error.headers())


async def _http_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    refusal = HostError(HTTPStatus(error.status_code).phrase)
    refusal.kind = "invalid_request_error"
    return JSONResponse(refusal.body(), error.status_code, error.headers)


class _Guard:
    """Lets in only who knows the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._expected = f"Bearer {secret}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                error = Unauthorised("The engine's secret is missing or wrong.")
                await JSONResponse(error.body(), error.status, error.headers())(scope, receive, send)
                return
        await self._app(scope, receive, send)
