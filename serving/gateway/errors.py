"""Everything that the gateway refuses or fails with, as one tree; each leaf is one code that callers can rely on.

GatewayError
├── RequestError             4xx, the caller can do something about it
│   ├── InvalidBody          400 invalid_body
│   ├── InvalidValue         400 invalid_value
│   ├── EngineRefused        400 engine_refused
│   ├── EndpointNotServed    400 endpoint_not_served
│   ├── InvalidKey           401 invalid_api_key
│   ├── AddressNotAllowed    403 ip_not_allowed
│   ├── ScopeMissing         403 scope_missing
│   ├── ModelNotFound        404 model_not_found
│   ├── RequestNotFound      404 request_not_found
│   ├── UnknownEndpoint      404 unknown_endpoint
│   ├── MethodNotAllowed     405 method_not_allowed
│   ├── BodyTooLarge         413 request_too_large
│   ├── RateLimited          429 rate_limit_exceeded
│   ├── QuotaExhausted       429 insufficient_quota
│   └── QueueFull            429 queue_full
└── ServiceError             5xx, the platform's own
    ├── InternalError        500 internal_error
    ├── EngineFailed         502 engine_failed
    ├── ModelNotReady        503 model_not_ready
    ├── NoEngine             503 no_engine
    ├── EngineOverloaded     503 engine_overloaded
    ├── DatabaseAway         503 database_unavailable
    └── EngineTimeout        504 engine_timeout
"""

from collections.abc import Iterator
from typing import ClassVar

import orjson


class GatewayError(Exception):
    """An answer other than the one that the caller hoped for, in OpenAI's shape.

    `message` is for people: what is wrong and what to do. `param` names the offending field of the body, if there is
    one. `retry_after`, in seconds, says when another try makes sense.
    """

    status: ClassVar[int]
    type: ClassVar[str]
    code: str
    summary: ClassVar[str]
    retry_after: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self) -> bytes:
        """The error as JSON, as it is sent."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})

    def lines(self) -> bytes:
        """The lines of the head that come with it."""
        return b"" if self.retry_after is None else b"retry-after: %d\r\n" % self.retry_after


class RequestError(GatewayError):
    """The request cannot be answered as it is."""

    type = "invalid_request_error"


class InvalidBody(RequestError):
    """The body is not what an inference request looks like."""

    status, code = 400, "invalid_body"
    summary = "The body is not a JSON object."


class InvalidValue(RequestError):
    """One field of the body has a value that is not allowed."""

    status, code = 400, "invalid_value"
    summary = "The field that `param` names is missing, malformed, over a limit or not allowed."


class EngineRefused(RequestError):
    """The engine found fault with the request; its own words and code, cleaned of internals, are passed on."""

    status, code = 400, "engine_refused"
    summary = "The engine found fault with the request; the message is the engine's."

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param)
        if code is not None:
            self.code = code


class EndpointNotServed(RequestError):
    """The model, or every kind of engine that serves it now, is not made for this endpoint."""

    status, code = 400, "endpoint_not_served"
    summary = "The model is not made for this endpoint, or no engine that serves it now is."


class InvalidKey(RequestError):
    """There is no key, or it is unknown, expired or revoked."""

    status, code = 401, "invalid_api_key"
    summary = "The API key is missing, unknown, expired or revoked."

    def lines(self) -> bytes:
        return b"www-authenticate: Bearer\r\n"


class AddressNotAllowed(RequestError):
    """The key must not be used from where the caller is."""

    status, type, code = 403, "permission_error", "ip_not_allowed"
    summary = "The key may not be used from the caller's network."


class ScopeMissing(RequestError):
    """The key must not be used for this."""

    status, type, code = 403, "permission_error", "scope_missing"
    summary = "The key's scopes do not include this endpoint."


class ModelNotFound(RequestError):
    """The model does not exist for this caller. The words never depend on whether somebody else has it."""

    status, code = 404, "model_not_found"
    summary = "The model does not exist or the key may not use it."

    def __init__(self, name: str) -> None:
        super().__init__(f"The model '{name}' does not exist or you do not have access to it.", param="model")


class RequestNotFound(RequestError):
    """Feedback is for a request that the department has no record of. The words are the same for one of others."""

    status, code = 404, "request_not_found"
    summary = "Your department has no record of the request that the feedback is for."

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"There is no record of a request '{request_id}' of your department. "
            "Give what the answer's header x-request-id said; of a request that has just ended, again in some seconds.",
            param="request_id",
        )


class UnknownEndpoint(RequestError):
    """There is nothing at this path."""

    status, code = 404, "unknown_endpoint"
    summary = "There is no such endpoint."


class MethodNotAllowed(RequestError):
    """The path exists, but not with this method."""

    status, code = 405, "method_not_allowed"
    summary = "The endpoint does not take this method; the header `Allow` says which it takes."

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} takes {allowed}, not {method}.")
        self.allowed = allowed

    def lines(self) -> bytes:
        return b"allow: %b\r\n" % self.allowed.encode()


class BodyTooLarge(RequestError):
    """The body is over the limit; it was not read to its end."""

    status, code = 413, "request_too_large"
    summary = "The body is larger than POLYGRAFT_MAX_REQUEST_BYTES."

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request is larger than {limit} bytes, the limit of this platform.")

    def lines(self) -> bytes:
        return b"connection: close\r\n"


class RateLimited(RequestError):
    """A limit of requests or tokens per minute, or of requests at once, does not allow it now.

    `seconds` says when it may; None: never, as it is. `told` are lines of the head about the limit.
    """

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    summary = "A limit does not allow it now; the message says which, of which level, and when to ask again."

    def __init__(self, message: str, *, seconds: int | None, told: bytes) -> None:
        super().__init__(message)
        self._told = told if seconds is None else b"retry-after: %d\r\n%b" % (max(seconds, 1), told)

    def lines(self) -> bytes:
        return self._told


class QuotaExhausted(RateLimited):
    """A limit per day or per month is used up."""

    code = "insufficient_quota"
    summary = "What may be used per day or per month is used up; the message says of which level."


class QueueFull(RequestError):
    """Too many requests of the department wait for the same engines."""

    status, type, code, retry_after = 429, "rate_limit_error", "queue_full", 1
    summary = "Too many requests of the department wait for the model; ask again shortly."


class ServiceError(GatewayError):
    """The platform cannot answer, through no fault of the caller."""

    type = "server_error"


class InternalError(ServiceError):
    """A defect of the gateway."""

    status, code = 500, "internal_error"
    summary = "A defect of the gateway; the log has the details under the request's id."


class EngineFailed(ServiceError):
    """The engine broke off or answered nonsense."""

    status, code = 502, "engine_failed"
    summary = "The engine failed while answering; in a stream this comes as its last event."


class ModelNotReady(ServiceError):
    """The caller's own adapter is on its way but not usable yet."""

    status, code, retry_after = 503, "model_not_ready", 2
    summary = "The adapter version is being validated or loaded; ask again shortly."


class NoEngine(ServiceError):
    """No engine serves the base model now."""

    status, code, retry_after = 503, "no_engine", 5
    summary = "No engine of the model's base is ready."


class EngineOverloaded(ServiceError):
    """Every engine that could answer is full or unreachable."""

    status, code, retry_after = 503, "engine_overloaded", 1
    summary = "Every engine that could answer is full or cannot be reached."


class DatabaseAway(ServiceError):
    """What is not cached cannot be looked up."""

    status, code, retry_after = 503, "database_unavailable", 2
    summary = "The database did not answer and the gateway had nothing cached."


class EngineTimeout(ServiceError):
    """The engine stayed silent for too long."""

    status, code = 504, "engine_timeout"
    summary = (
        "The engine sent nothing for POLYGRAFT_UPSTREAM_FIRST_BYTE_TIMEOUT seconds, or, once its answer had begun, for "
        "POLYGRAFT_UPSTREAM_IDLE_TIMEOUT."
    )


def every_error() -> Iterator[type[GatewayError]]:
    """The leaves of the tree, in its order; documentation and metrics are checked against them."""
    for branch in GatewayError.__subclasses__():
        for leaf in branch.__subclasses__():
            yield leaf
            yield from leaf.__subclasses__()
