"""Understands the body of an inference request and turns it into what an engine is asked."""

from typing import Any

import orjson

from serving.gateway.conversation import beginning
from serving.gateway.errors import InvalidBody, InvalidValue
from serving.gateway.estimate import longest_completion
from serving.gateway.ways import Way

_MAX_NAME_LENGTH = 200
# As many brackets as a body may have before anybody looks how deep they are within each other.
_SURELY_SHALLOW, _DEEPER = 200, 12


class Wish:
    """What the caller wants: the parsed body, and what the gateway needs to know of it."""

    __slots__ = ("_longest", "body", "model", "show_usage", "size", "stream")

    def __init__(self, body: dict[str, Any], size: int = 0) -> None:
        """Take the parsed body and how many bytes it had."""
        self.body = body
        self.size = size
        self.model = _model(body)
        self.stream = _stream(body)
        self.show_usage = _usage_asked(body)
        self._longest: tuple[int | None] | None = None

    def longest_completion(self, endpoint: str) -> int | None:
        """How many tokens the answer may have at most by the request's own words; None: it does not say."""
        if self._longest is None:
            self._longest = (longest_completion(endpoint, self.body),)
        return self._longest[0]

    @property
    def conversation(self) -> bytes:
        """What all requests of one conversation have in common and others have not: how it begins."""
        key = self.body.get("prompt_cache_key")
        if isinstance(key, str) and key:
            return key.encode()
        return beginning(self.body)

    def for_engine(self, way: Way, model: str, cache_salt: str) -> bytes:
        """The body as an engine gets it.

        Raises:
            InvalidValue: the engine has no way to do what a field asks for.
        """
        body = way.request(self.body)
        body["model"] = model
        if way.computes:
            body["cache_salt"] = cache_salt
        if self.stream and way.counts_on_request:
            body["stream_options"] = {"include_usage": True}
        return orjson.dumps(body)


def parse_wish(body: bytes) -> Wish:
    """Understand a body.

    Raises:
        InvalidBody: it is not a JSON object.
        InvalidValue: a field that the gateway goes by is missing or malformed.
    """
    parsed = parse_object(body)
    if body.count(b"[") + body.count(b"{") > _SURELY_SHALLOW:
        _check_depth(parsed)
    return Wish(parsed, len(body))


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a body's JSON.

    Raises:
        InvalidBody: it is not a JSON object.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f"The body is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise InvalidBody('The body must be a JSON object, such as {"model": …, "messages": […]}.')
    return parsed


def _check_depth(parsed: dict[str, Any]) -> None:
    """Refuse what orjson reads but would not write; what is made of a body for an engine may be a little deeper."""
    deeper: object = parsed
    for _ in range(_DEEPER):
        deeper = [deeper]
    try:
        orjson.dumps(deeper)
    except TypeError:
        raise InvalidBody("The body is nested too deeply: lists and objects within each other.") from None


def _model(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidValue("'model' is required: a string with the model's name.", param="model")
    if len(model) > _MAX_NAME_LENGTH:
        raise InvalidValue(f"'model' is longer than {_MAX_NAME_LENGTH} characters.", param="model")
    return model


def _stream(body: dict[str, Any]) -> bool:
    stream = body.get("stream")
    if stream is None or isinstance(stream, bool):
        return bool(stream)
    raise InvalidValue("'stream' must be true or false.", param="stream")


def _usage_asked(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidValue("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True
