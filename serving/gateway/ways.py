"""How each kind of engine is asked for each endpoint, and how its answer becomes the caller's.

An engine that does not know an endpoint by itself is asked for one that it knows, if there is a translation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from serving.engines.kinds import NATIVE_PATHS
from serving.gateway.events import Events
from serving.gateway.streams import NativeMessages, NativeResponses, Stream, TranslatedStream
from serving.gateway.translate.messages_answer import count_of_tokens, message_of_chat
from serving.gateway.translate.messages_request import chat_of_messages, tokenize_of_count
from serving.gateway.translate.messages_stream import MessagesStream
from serving.gateway.translate.responses_answer import response_of_chat
from serving.gateway.translate.responses_request import chat_of_responses
from serving.gateway.translate.responses_stream import ResponsesStream
from serving.gateway.translate.usage import usage_of_messages, usage_of_responses

Body = dict[str, Any]

_CHAT = "/v1/chat/completions"


class Names(NamedTuple):
    """A model's name as the engine knows it, and as the caller asked for it."""

    engine: str
    asked: str


class Answer(NamedTuple):
    """A whole answer as the caller gets it, and its usage in the words of chat completions, if it has any."""

    body: bytes
    usage: Body | None


@dataclass(frozen=True, slots=True)
class Way:
    """One way from an endpoint to an engine and back.

    Attributes:
        path: where the engine is asked.
        request: the engine's body, made of the caller's; fields of the gateway's own come after.
        answer: the caller's answer, made of the engine's, the caller's body and the model's names. Raises KeyError,
            IndexError, TypeError, AttributeError or a JSONDecodeError if the engine's is nonsense.
        stream: the same for a stream.
        computes: whether the engine runs the model, so that prefix caches must be kept apart.
        counts_on_request: whether streams tell usage only when asked to.
    """

    path: str
    request: Callable[[Body], Body]
    answer: Callable[[bytes, Body, Names], Answer]
    stream: Callable[[Body, Names, bool], Stream]
    computes: bool = True
    counts_on_request: bool = False


def way_to(endpoint: str, kind: str) -> Way | None:
    """The way from an endpoint to a kind of engine; None: that kind cannot answer it."""
    return _WAYS.get((endpoint, kind))


def _as_it_is(body: Body) -> Body:
    return body


def _renamed(body: bytes, names: Names) -> bytes:
    return body if names.engine == names.asked else body.replace(names.engine.encode(), names.asked.encode())


def _native(counts: Callable[[Body], Body | None]) -> Callable[[bytes, Body, Names], Answer]:
    def answer(body: bytes, _: Body, names: Names) -> Answer:
        return Answer(_renamed(body, names), counts(orjson.loads(body)))

    return answer


def _translated(translate: Callable[[Body, Body, Names], Body]) -> Callable[[bytes, Body, Names], Answer]:
    def answer(body: bytes, request: Body, names: Names) -> Answer:
        completion = orjson.loads(body)
        return Answer(orjson.dumps(translate(completion, request, names)), _usage(completion))

    return answer


def _usage(answer: Body) -> Body | None:
    return answer.get("usage")


def _completions_stream(_: Body, names: Names, show_usage: bool) -> Stream:
    return Events(engine_model=names.engine, asked=names.asked, show_usage=show_usage)


def _plain(path: str, *, streams: bool = False, computes: bool = True) -> Way:
    return Way(
        path,
        _as_it_is,
        _native(_usage),
        _completions_stream,
        computes=computes,
        counts_on_request=streams,
    )


_NATIVE = {
    _CHAT: _plain(_CHAT, streams=True),
    "/v1/completions": _plain("/v1/completions", streams=True),
    "/v1/embeddings": _plain("/v1/embeddings"),
    "/v1/rerank": _plain("/v1/rerank"),
    "/v1/score": _plain("/v1/score"),
    "/tokenize": _plain("/tokenize", computes=False),
    "/v1/messages": Way(
        "/v1/messages",
        _as_it_is,
        _native(lambda answer: usage_of_messages(answer["usage"])),
        lambda _, names, __: NativeMessages(engine_model=names.engine, asked=names.asked),
    ),
    "/v1/messages/count_tokens": _plain("/v1/messages/count_tokens", computes=False),
    "/v1/responses": Way(
        "/v1/responses",
        _as_it_is,
        _native(lambda answer: usage_of_responses(answer["usage"])),
        lambda _, names, __: NativeResponses(engine_model=names.engine, asked=names.asked),
    ),
}
_TRANSLATED = {
    "/v1/messages": Way(
        _CHAT,
        chat_of_messages,
        _translated(lambda completion, _, names: message_of_chat(completion, names.asked)),
        lambda _, names, __: TranslatedStream(MessagesStream(names.asked)),
        counts_on_request=True,
    ),
    "/v1/messages/count_tokens": Way(
        "/tokenize",
        tokenize_of_count,
        _translated(lambda tokenized, _, __: count_of_tokens(tokenized)),
        _completions_stream,
        computes=False,
    ),
    "/v1/responses": Way(
        _CHAT,
        chat_of_responses,
        _translated(lambda completion, request, names: response_of_chat(completion, request, names.asked)),
        lambda request, names, _: TranslatedStream(ResponsesStream(request, names.asked)),
        counts_on_request=True,
    ),
}
# The endpoints for which there is a way.
INFERENCE = tuple(_NATIVE)
_WAYS = {
    (endpoint, str(kind)): way
    for kind, paths in NATIVE_PATHS.items()
    for endpoint in INFERENCE
    if (way := _NATIVE[endpoint] if endpoint in paths else _TRANSLATED.get(endpoint)) is not None and way.path in paths
}
