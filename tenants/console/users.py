"""The console's pages about accounts, for admins. A password is in one response and nowhere else."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, instead_of_page, person
from polygraft.listing import listing
from tenants.access import Right, require
from tenants.console.forms import UserForm
from tenants.models import Membership, PlatformRole, User
from tenants.users import user_create, user_password_renew, user_set_active


@require_safe
def user_list(request: HttpRequest) -> HttpResponse:
    """Everybody with an account."""
    require(person(request), Right.PLATFORM_MANAGE)
    rows = User.objects.prefetch_related(
        Prefetch("memberships", Membership.objects.select_related("department").order_by("department__slug"))
    )
    sorts = {"name": "username", "role": "platform_role", "seen": "last_login", "created": "date_joined"}
    return render(
        request,
        "tenants/user_list.html",
        {"listing": listing(request, rows, search=["username", "email"], sorts=sorts, default="name")},
    )


@never_cache
@require_http_methods(["GET", "POST"])
def user_new(request: HttpRequest) -> HttpResponse:
    """Make an account and show its first password, this once."""
    require(person(request), Right.PLATFORM_MANAGE)
    form = UserForm(request.POST or None)
    if form.is_valid():
        try:
            user, password = user_create(
                username=form.cleaned_data["username"],
                platform_role=PlatformRole(form.cleaned_data["platform_role"]),
                by=person(request),
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            return _password_page(request, user, password)
    return ask(request, "tenants/user_new.html", {}, back=reverse("user-list"), form=form)


@never_cache
@require_http_methods(["GET", "POST"])
def user_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a person a new password and show it, this once."""
    require(person(request), Right.PLATFORM_MANAGE)
    account = get_object_or_404(User, pk=pk)
    if request.method == "POST":
        password = user_password_renew(user=account, by=person(request))
        return _password_page(request, account, password)
    return ask(request, "tenants/user_password.html", {"account": account}, back=reverse("user-list"))


@require_http_methods(["GET", "POST"])
def user_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Close an account, or open it again; nobody closes their own."""
    require(person(request), Right.PLATFORM_MANAGE)
    account = get_object_or_404(User.objects.exclude(pk=person(request).pk), pk=pk)
    back = reverse("user-list")
    if request.method == "POST":
        user_set_active(user=account, is_active=not account.is_active, by=person(request))
        messages.success(request, f"{account} can {'' if account.is_active else 'no longer '}sign in.")
        return go_to(request, back)
    return ask(request, "tenants/user_active.html", {"account": account}, back=back)


def _password_page(request: HttpRequest, account: User, password: str) -> HttpResponse:
    page = render(request, "tenants/user_secret.html", {"account": account, "password": password})
    return instead_of_page(page)
