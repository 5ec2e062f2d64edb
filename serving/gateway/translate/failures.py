"""Errors in the words of Anthropic's Messages and of OpenAI's Responses."""

from typing import Any

from serving.gateway.errors import GatewayError

Body = dict[str, Any]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Anthropic has a status of its own for what OpenAI's dialect calls 503.
_OVERLOADED = 529


def anthropic_status(error: GatewayError) -> int:
    """The status with which Anthropic's clients expect an error."""
    return _OVERLOADED if error.code == "engine_overloaded" else error.status


def failed_message(error: GatewayError) -> Body:
    """An error as Anthropic writes it, whole and as an event. `code` and `param` are ours, and left out by theirs."""
    kind = _TYPES.get(anthropic_status(error), "api_error")
    details = {"type": kind, "message": error.message, "code": error.code, "param": error.param}
    return {"type": "error", "error": {field: value for field, value in details.items() if value is not None}}


def failed_response(error: GatewayError, response: Body, sequence: int) -> Body:
    """The event that ends a failed stream of Responses; `response` is what was said of it in the beginning."""
    failed = response | {"status": "failed", "error": {"code": error.code, "message": error.message}}
    return {"type": "response.failed", "sequence_number": sequence, "response": failed}
