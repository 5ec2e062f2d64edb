"""Errors of the management API as problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import exception_handler

from polygraft.refusal import Refusal


class Conflict(APIException):
    """The request contradicts the state of the object."""

    status_code = 409
    default_code = "conflict"


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: one shape for every error.

    Returns:
        `{"type", "title", "status", "detail", "code", "errors"?}`, where `errors` maps a field to its sentences; None
        for an error that is ours (a 500).
    """
    if isinstance(error, Refusal):
        refused = APIException(" ".join(error.messages))
        refused.status_code, refused.default_code = error.status, error.problem_code
        error = refused
    elif isinstance(error, ValidationError):
        # A model's own check, raised by a service.
        error = exceptions.ValidationError(
            error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        )
    response = exception_handler(error, context)
    if response is None:
        return None
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(response.status_code).phrase,
        "status": response.status_code,
    }
    if isinstance(error, exceptions.ValidationError):
        problem["detail"] = "Some fields are not as they should be."
        problem["code"] = "invalid"
        problem["errors"] = response.data if isinstance(response.data, dict) else {"non_field_errors": response.data}
    else:
        problem["detail"] = _detail(error)
        problem["code"] = _code(error)
    response.data = problem
    response.content_type = "application/problem+json"
    return response


def _detail(error: Exception) -> str:
    if isinstance(error, Http404):
        return str(error.args[0]) if error.args else "There is no such object."
    if isinstance(error, PermissionDenied):
        return str(error.args[0]) if error.args else "You may not do this."
    return str(getattr(error, "detail", error))


def _code(error: Exception) -> str:
    if isinstance(error, Http404):
        return "not_found"
    if isinstance(error, PermissionDenied):
        return "permission_denied"
    return str(getattr(error, "default_code", "error"))
