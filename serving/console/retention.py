"""The console's pages of retention: a policy, what it would do, and the platform's policy."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from polygraft.answers import person
from polygraft.listing import PER_PAGE
from serving.adapters.retention import retention_inherit, retention_plan, retention_set
from serving.models import RetentionPolicy
from tenants.access import Right, department_for, may, require
from tenants.models import Department


class RetentionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no argument there
    """A policy."""

    class Meta:
        model = RetentionPolicy
        fields = RetentionPolicy.FIELDS
        labels = {
            "keep_newest": "Keep the newest",
            "keep_used_days": "Keep what was used in so many days",
            "grace_days": "Days until deletion",
            "keep_texts_days": "Delete comparisons and comments after",
        }


@require_http_methods(["GET", "POST"])
def department_retention(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's policy with what it would do; `preview` shows what another one would do."""
    right = Right.DEPARTMENT_CHANGE if request.method == "POST" else Right.DEPARTMENT_VIEW
    department = department_for(person(request), slug, right)
    context = {"department": department, "tab": "adapters"}
    context["may_change"] = may(person(request), Right.DEPARTMENT_CHANGE, department)
    return _policy_page(request, RetentionPolicy.of(department), department, [department], context)


@require_POST
def department_retention_inherit(request: HttpRequest, slug: str) -> HttpResponse:
    """Have the platform's policy hold again."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    retention_inherit(department=department, by=person(request))
    messages.success(request, "The platform's policy holds again.")
    return redirect("department-retention", slug)


@require_http_methods(["GET", "POST"])
def platform_retention(request: HttpRequest) -> HttpResponse:
    """The policy of all departments without one of their own, with what it would do."""
    require(person(request), Right.PLATFORM_MANAGE if request.method == "POST" else Right.PLATFORM_VIEW)
    departments = Department.objects.filter(retention_policy=None)
    context = {"may_change": may(person(request), Right.PLATFORM_MANAGE)}
    return _policy_page(request, RetentionPolicy.of_platform(), None, departments, context)


def _policy_page(
    request: HttpRequest,
    policy: RetentionPolicy,
    department: Department | None,
    departments: Iterable[Department],
    context: dict[str, Any],
) -> HttpResponse:
    """Show, preview or save the policy of a department or the platform, with what it would do to these departments."""
    form = RetentionForm(request.POST if request.method == "POST" else None, initial=policy.as_json())
    # Its value is the page of the preview.
    preview = request.POST.get("preview")
    if form.is_valid() and preview is None:
        retention_set(department=department, wished=form.instance, by=person(request))
        messages.success(request, "The policy is saved. It is followed within the hour.")
        return redirect(request.path)
    shown = form.instance if form.is_bound else policy
    steps = [] if form.errors else [step for one in departments for step in retention_plan(one, shown)]
    page = Paginator(steps, PER_PAGE).get_page(request.GET.get("page") if preview is None else preview)
    template = "serving/retention.html" if department else "serving/platform_retention.html"
    context |= {"form": form, "policy": policy, "is_preview": preview is not None, "page": page}
    return render(request, template, context, status=422 if form.errors else 200)
