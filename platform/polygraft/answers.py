"""How the console's views take a request and answer it, as whole pages or, through htmx, inside a dialog."""

from typing import Any, cast

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from tenants.models import User


def person(request: HttpRequest) -> User:
    """Who is signed in; the middleware has let nobody else in."""
    return cast(User, request.user)


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asked, and so wants the inner part of a page only."""
    return request.headers.get("HX-Request") == "true"


def ask(
    request: HttpRequest, template: str, context: dict[str, Any], *, back: str, form: BaseForm | None = None
) -> HttpResponse:
    """Ask before a write: in a dialog for htmx, on a page of its own for a browser without JavaScript.

    Args:
        template: extends `frame`, which is chosen here.
        back: where "Cancel" leads on a page of its own.
        form: filled in wrongly when it has errors, which makes the status 422.
    """
    frame = "frames/ask_dialog.html" if is_fragment(request) else "frames/ask_page.html"
    status = 422 if form is not None and form.errors else 200
    return render(request, template, {**context, "frame": frame, "back": back, "form": form}, status=status)


def go_to(request: HttpRequest, url: str) -> HttpResponse:
    """Send the person on to another page after a write."""
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def instead_of_page(response: HttpResponse) -> HttpResponse:
    """Let htmx put this whole page in place of the one that shows, wherever the request came from."""
    response["HX-Retarget"] = response["HX-Reselect"] = "#content"
    response["HX-Reswap"] = "outerHTML show:window:top"
    return response


def add_problems(form: BaseForm, error: ValidationError) -> None:
    """Show what a service refused beside the form's fields; what belongs to no field shows above them."""
    problems = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    for name, sentences in problems.items():
        for sentence in sentences:
            form.add_error(name if name in form.fields else None, sentence)
