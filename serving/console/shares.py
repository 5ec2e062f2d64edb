"""The console's pages of sharing: whom an adapter is shared with, and what is shared with a department."""

from datetime import timedelta

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import listing
from serving.adapters.sharing import (
    COUNTED_DAYS,
    adapter_share,
    share_decline,
    share_revoke,
    share_uses,
    shared_name,
)
from serving.console.adapters import adapter_of
from serving.models import Adapter, UsageRecord, VersionState
from tenants.access import Right, department_for
from tenants.models import Department
from tenants.models.department import slug_validator


class ShareForm(forms.Form):
    """Whom to share an adapter with."""

    department = forms.CharField(
        max_length=50,
        validators=[slug_validator],
        label="Department",
        help_text="Its slug, such as legal. Ask them for it: whether a department has it is not said here.",
    )


@require_safe
def adapter_shares(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Whom an adapter is shared with, and how much they use it."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = adapter_of(department, name)
    sorts = {"department": "receiver", "shared": "created_at"}
    rows = adapter.shares.select_related("created_by")
    shown = listing(request, rows, search=["receiver"], sorts=sorts, default="department")
    return render(
        request,
        "serving/adapter_shares.html",
        {
            "department": department,
            "adapter": adapter,
            "tab": "adapters",
            "listing": shown,
            "uses": share_uses(list(shown.page)),
            "days": COUNTED_DAYS,
        },
    )


@require_http_methods(["GET", "POST"])
def adapter_share_new(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Share an adapter with a department."""
    department = department_for(person(request), slug, Right.ADAPTERS_SHARE)
    adapter = adapter_of(department, name)
    back = reverse("adapter-shares", args=[slug, name])
    form = ShareForm(request.POST or None)
    if form.is_valid():
        receiver = form.cleaned_data["department"]
        try:
            adapter_share(adapter=adapter, receiver=receiver, by=person(request))
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, f"{receiver} may call {shared_name(adapter)} now.")
            return go_to(request, back)
    context = {"department": department, "adapter": adapter}
    return ask(request, "serving/adapter_share_new.html", context, back=back, form=form)


@require_http_methods(["GET", "POST"])
def adapter_share_revoke(request: HttpRequest, slug: str, name: str, receiver: str) -> HttpResponse:
    """Take a share back."""
    department = department_for(person(request), slug, Right.ADAPTERS_SHARE)
    adapter = adapter_of(department, name)
    share = get_object_or_404(adapter.shares, receiver=receiver)
    back = reverse("adapter-shares", args=[slug, name])
    if request.method == "POST":
        share_revoke(share=share, by=person(request))
        messages.success(request, f"{receiver} may not call {shared_name(adapter)} any more.")
        return go_to(request, back)
    context = {"department": department, "adapter": adapter, "use": share_uses([share])[0], "days": COUNTED_DAYS}
    return ask(request, "serving/adapter_share_revoke.html", context, back=back)


@require_safe
def shared_list(request: HttpRequest, slug: str) -> HttpResponse:
    """What other departments share with this one."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    recent = (
        UsageRecord.objects.filter(
            department=department,
            adapter_version__adapter=OuterRef("pk"),
            at__gte=timezone.now() - timedelta(days=1),
        )
        .order_by()
        .values("adapter_version__adapter")
    )
    rows = (
        Adapter.objects.shared_with(department.pk, department.slug)
        .select_related("department", "base_model", "rollout")
        .annotate(request_count=Subquery(recent.annotate(n=Count("pk")).values("n")))
    )
    sorts = {"name": "name", "owner": "department__slug", "base": "base_model__name", "requests": "request_count"}
    search = ["name", "department__slug", "base_model__name"]
    return render(
        request,
        "serving/shared_list.html",
        {
            "department": department,
            "tab": "shared",
            "listing": listing(request, rows, search=search, sorts=sorts, default="owner"),
        },
    )


@require_safe
def shared_adapter(request: HttpRequest, slug: str, owner: str, name: str) -> HttpResponse:
    """An adapter of another department: how to call it, and nothing of its inside."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = _shared(department, owner, name)
    ready = adapter.versions.filter(state=VersionState.READY).order_by("-number").values_list("number", flat=True)
    return render(
        request,
        "serving/shared_adapter.html",
        {
            "department": department,
            "adapter": adapter,
            "tab": "shared",
            "name": shared_name(adapter),
            "versions": ready[:20],
        },
    )


@require_http_methods(["GET", "POST"])
def shared_adapter_decline(request: HttpRequest, slug: str, owner: str, name: str) -> HttpResponse:
    """Do without an adapter that another department shares."""
    department = department_for(person(request), slug, Right.ADAPTERS_SHARE)
    adapter = _shared(department, owner, name)
    if request.method == "POST":
        share_decline(adapter=adapter, receiver=department, by=person(request))
        messages.success(request, f"{shared_name(adapter)} is declined.")
        return go_to(request, reverse("shared-list", args=[slug]))
    context = {"department": department, "name": shared_name(adapter), "owner": owner}
    back = reverse("shared-adapter", args=[slug, owner, name])
    return ask(request, "serving/shared_adapter_decline.html", context, back=back)


def _shared(department: Department, owner: str, name: str) -> Adapter:
    shared = Adapter.objects.shared_with(department.pk, department.slug)
    return get_object_or_404(
        shared.select_related("department", "base_model", "rollout"), department__slug=owner, name=name
    )
