"""Every way the host says no, as one tree; each error knows its HTTP answer in OpenAI's shape."""

from typing import Any


class HostError(Exception):
    """A refusal with an HTTP status and OpenAI's error fields."""

    status = 500
    kind = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Headers the answer must carry."""
        return {}


class BadRequest(HostError):
    """The request is malformed, or asks for something this engine cannot honour."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_value"


class UnsupportedParameter(BadRequest):
    """A parameter the engine knows it cannot honour, or does not know at all."""

    code = "unsupported_parameter"


class ContextLengthExceeded(BadRequest):
    """Prompt and wished-for output do not fit a sequence's context."""

    code = "context_length_exceeded"


class Unauthorised(HostError):
    """The bearer secret is missing or wrong."""

    status = 401
    kind = "invalid_request_error"
    code = "invalid_api_key"

    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"}


class ModelNotFound(HostError):
    """No base model or loaded adapter has this name."""

    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"

    def __init__(self, name: str, *, param: str = "model") -> None:
        super().__init__(f"The model `{name}` does not exist.", param=param)


class BodyTooLarge(HostError):
    """The request's body is larger than the host reads."""

    status = 413
    kind = "invalid_request_error"
    code = "request_too_large"


class AdapterRefused(BadRequest):
    """An adapter cannot be loaded: its name, its path or its file is at fault."""

    code = "adapter_refused"


class EngineFailed(HostError):
    """llama.cpp failed while computing this answer."""

    code = "engine_failed"


class Busy(HostError):
    """Not now: the caller should come back."""

    status = 503
    kind = "server_error"

    def headers(self) -> dict[str, str]:
        return {"retry-after": "1"}


class QueueFull(Busy):
    """As many requests wait as `--max-queue` allows."""

    code = "queue_full"


class StillLoading(Busy):
    """The base model is not loaded yet."""

    code = "model_loading"
