"""Django middleware: a request id for logs and audit, and sign-in for every page that is not public."""

import re
import uuid
from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

PUBLIC_PATHS = ("/accounts/", "/static/", "/api/", "/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


@sync_and_async_middleware
def request_id_middleware(get_response: Callable[[HttpRequest], Answer]) -> Callable[[HttpRequest], Answer]:
    """Bind the caller's `x-request-id`, or a new one, to the logs and the audit, and send it back."""

    def begin(request: HttpRequest) -> str:
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        return request_id

    async def asynchronous(request: HttpRequest) -> HttpResponseBase:
        request_id = begin(request)
        response: HttpResponseBase = await get_response(request)  # type: ignore[misc]  # Django's contract
        response["x-request-id"] = request_id
        return response

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        request_id = begin(request)
        response = get_response(request)
        assert isinstance(response, HttpResponseBase)  # noqa: S101  # for the type checker
        response["x-request-id"] = request_id
        return response

    if iscoroutinefunction(get_response):
        return markcoroutinefunction(asynchronous)
    return synchronous


def sign_in_required_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Send visitors to the sign-in page: a page is private unless it is listed as public."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated or request.path.startswith(PUBLIC_PATHS):
            return get_response(request)
        if request.headers.get("HX-Request"):
            # A fragment must not receive the sign-in page: htmx is told to load it as a whole.
            return HttpResponse(status=401, headers={"HX-Redirect": "/accounts/login/"})
        return redirect_to_login(request.get_full_path())

    return middleware
