"""Errors in Anthropic's words."""

import pytest

from serving.gateway.errors import GatewayError, every_error
from serving.gateway.translate.failures import anthropic_status, failed_message

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def made(kind: type[GatewayError]) -> GatewayError:
    error = kind.__new__(kind)
    GatewayError.__init__(error, "Because.")
    return error


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_every_error_has_the_type_of_its_status(kind: type[GatewayError]) -> None:
    error = made(kind)
    told = failed_message(error)
    assert told["type"] == "error"
    assert told["error"]["type"] == KINDS[anthropic_status(error)]
    assert told["error"]["message"] == "Because."
    assert told["error"]["code"] == kind.code


def test_only_an_overload_has_another_status_than_in_openais_dialect() -> None:
    changed = {kind.__name__ for kind in every_error() if anthropic_status(made(kind)) != kind.status}
    assert changed == {"EngineOverloaded"}
