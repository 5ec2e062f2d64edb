"""The console's pages of retention: a policy, what it would do, and the platform's policy."""

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from polygraft.answers import person
from polygraft.listing import PER_PAGE
from serving.adapters.retention import Step, retention_inherit, retention_plan, retention_set
from serving.models import RetentionPolicy
from tenants.access import Right, department_for, may, require
from tenants.models import Department


class RetentionForm(forms.Form):
    """A policy."""

    keep_newest = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        required=False,
        label="Keep the newest",
        help_text="So many versions of each adapter. Empty: age does not count.",
    )
    keep_used_days = forms.IntegerField(
        min_value=1,
        max_value=3650,
        required=False,
        label="Keep what was used in so many days",
        help_text="Empty: use does not count.",
    )
    grace_days = forms.IntegerField(
        min_value=0,
        max_value=3650,
        initial=14,
        label="Days until deletion",
        help_text="Retired versions are archived first, and can be restored for so long.",
    )


@require_http_methods(["GET", "POST"])
def department_retention(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's policy with what it would do; `preview` shows what another one would do."""
    is_change = request.method == "POST"
    right = Right.DEPARTMENT_CHANGE if is_change else Right.DEPARTMENT_VIEW
    department = department_for(person(request), slug, right)
    policy = RetentionPolicy.of(department)
    form = RetentionForm(request.POST if is_change else None, initial=policy.as_json())
    shown = policy
    if form.is_valid():
        if "preview" not in request.POST:
            retention_set(department=department, by=person(request), **form.cleaned_data)
            messages.success(request, "The policy is saved. It is followed within the hour.")
            return redirect("department-retention", slug)
        shown = RetentionPolicy(department=department, **form.cleaned_data)
    steps = [] if form.errors else retention_plan(department, shown)
    return render(
        request,
        "serving/retention.html",
        {
            "department": department,
            "tab": "adapters",
            "form": form,
            "policy": policy,
            "is_preview": shown is not policy,
            "page": Paginator(steps, PER_PAGE).get_page(request.GET.get("page")),
            "may_change": may(person(request), Right.DEPARTMENT_CHANGE, department),
        },
        status=422 if form.errors else 200,
    )


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
    is_change = request.method == "POST"
    require(person(request), Right.PLATFORM_MANAGE if is_change else Right.PLATFORM_VIEW)
    policy = RetentionPolicy.of_platform()
    form = RetentionForm(request.POST if is_change else None, initial=policy.as_json())
    shown = policy
    if form.is_valid():
        if "preview" not in request.POST:
            retention_set(department=None, by=person(request), **form.cleaned_data)
            messages.success(request, "The policy is saved. It is followed within the hour.")
            return redirect("platform-retention")
        shown = RetentionPolicy(**form.cleaned_data)
    return render(
        request,
        "serving/platform_retention.html",
        {
            "form": form,
            "is_preview": shown is not policy,
            "page": Paginator([] if form.errors else _steps_everywhere(shown), PER_PAGE).get_page(
                request.GET.get("page")
            ),
            "may_change": may(person(request), Right.PLATFORM_MANAGE),
        },
        status=422 if form.errors else 200,
    )


def _steps_everywhere(policy: RetentionPolicy) -> list[Step]:
    departments = Department.objects.filter(retention_policy=None)
    return [step for department in departments for step in retention_plan(department, policy)]
