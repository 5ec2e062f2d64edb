"""How the console answers a write: whole pages for browsers, and the same by htmx for forms shown in a dialog."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asked, and so wants the inner part of a page only."""
    return request.headers.get("HX-Request") == "true"


def go_to(request: HttpRequest, url: str) -> HttpResponse:
    """Send the person on to another page after a write."""
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
