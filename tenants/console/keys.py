"""The console's pages about a department's API keys. A secret is in one response and nowhere else."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import ask, go_to, instead_of_page, person
from polygraft.listing import listing
from tenants.access import Right, department_for
from tenants.console.forms import KeyForm, RotateForm
from tenants.keys import key_create, key_revoke, key_rotate
from tenants.models import APIKey, Department


@require_safe
def key_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's keys, without their secrets."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    rows = department.api_keys.select_related("created_by")
    sorts = {"name": "name", "created": "created_at", "expires": "expires_at"}
    return render(
        request,
        "tenants/key_list.html",
        {
            "department": department,
            "tab": "keys",
            "listing": listing(request, rows, search=["name", "hint"], sorts=sorts, default="-created"),
        },
    )


@never_cache
@require_http_methods(["GET", "POST"])
def key_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a key and show its secret, this once."""
    department = department_for(person(request), slug, Right.KEYS_MANAGE)
    form = KeyForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        key, secret = key_create(
            department=department,
            name=data["name"],
            models=data["models"],
            scopes=data["scopes"],
            allowed_ips=data["allowed_ips"],
            expires_at=data["expires_on"],
            by=person(request),
        )
        return _secret_page(request, department, key, secret)
    return render(
        request,
        "tenants/key_new.html",
        {"department": department, "tab": "keys", "form": form},
        status=422 if form.errors else 200,
    )


@never_cache
@require_http_methods(["GET", "POST"])
def key_rotation(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Replace a key and show the new secret, this once."""
    department = department_for(person(request), slug, Right.KEYS_MANAGE)
    key = get_object_or_404(department.api_keys, pk=pk)
    form = RotateForm(request.POST or None)
    if form.is_valid():
        try:
            replacement, secret = key_rotate(
                key=key, grace_seconds=form.cleaned_data["grace_seconds"], by=person(request)
            )
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return _secret_page(request, department, replacement, secret, replaced=key)
    return ask(
        request,
        "tenants/key_rotate.html",
        {"department": department, "key": key},
        back=reverse("key-list", args=[slug]),
        form=form,
    )


@require_http_methods(["GET", "POST"])
def key_revocation(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """End a key now."""
    department = department_for(person(request), slug, Right.KEYS_MANAGE)
    key = get_object_or_404(department.api_keys, pk=pk)
    back = reverse("key-list", args=[slug])
    if request.method == "POST":
        key_revoke(key=key, by=person(request))
        messages.success(request, f"The key {key.name} is revoked.")
        return go_to(request, back)
    return ask(request, "tenants/key_revoke.html", {"department": department, "key": key}, back=back)


def _secret_page(
    request: HttpRequest, department: Department, key: APIKey, secret: str, replaced: APIKey | None = None
) -> HttpResponse:
    # Answered to the POST itself: the secret reaches no URL, no session and no browser cache.
    page = render(
        request,
        "tenants/key_secret.html",
        {"department": department, "tab": "keys", "key": key, "secret": secret, "replaced": replaced},
    )
    return instead_of_page(page)
