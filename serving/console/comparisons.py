"""The console's pages of comparisons: an adapter's list, a new one, one with its results, its end, and the policy."""

import uuid

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import Listing, listing
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.comparisons.lifecycle import comparison_cancel, comparison_create, comparison_delete, comparison_run_again
from serving.comparisons.policy import policy_as_json, policy_of, policy_set
from serving.comparisons.results import SHOWS, results_of
from serving.comparisons.sampling import sampling_of
from serving.comparisons.summary import summary_of
from serving.console.adapters import adapter_of
from serving.console.comparison_form import ComparisonForm, ComparisonPolicyForm
from serving.console.comparison_promotion import promotion_of
from serving.console.comparison_rows import comparison_rows
from serving.models import Comparison
from serving.models.comparison import Proof
from tenants.access import Right, department_for
from tenants.models import Department

_PROMPTS_PER_PAGE = 20


@require_safe
def comparison_list(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """The comparisons of an adapter."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = adapter_of(department, name)
    sorts = {"name": "name", "prompts": "prompt_count", "created": "created_at", "state": "state"}
    rows = adapter.comparisons.select_related("created_by")
    shown = listing(request, rows, search=["name"], sorts=sorts, default="-created")
    moves = any(comparison.is_unfinished for comparison in shown.page)
    context = {"department": department, "adapter": adapter, "tab": "adapters", "listing": shown, "is_moving": moves}
    context["policy"] = policy_of(department)
    return render(request, "serving/comparison_list.html", context)


@require_http_methods(["GET", "POST"])
def comparison_new(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Begin a comparison."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    data = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = ComparisonForm(adapter, *data)
    if form.is_valid():
        try:
            comparison = comparison_create(
                adapter=adapter,
                name=form.title,
                candidates=form.cleaned_data["candidates"],
                prompts=form.read_prompts,
                sampling=sampling_of(**{field: form.cleaned_data[field] for field in form.sampling_fields}),
                by=person(request),
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            return redirect("comparison", slug, name, comparison.pk)
    context = {"department": department, "adapter": adapter, "tab": "adapters", "form": form}
    return render(request, "serving/comparison_new.html", context, status=422 if form.errors else 200)


@require_safe
def comparison_page(request: HttpRequest, slug: str, name: str, pk: uuid.UUID) -> HttpResponse:
    """One comparison: how far it is, its figures, and its results side by side."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    comparison = _comparison(department, name, pk)
    show, query = request.GET.get("show", ""), request.GET.get("q", "").strip()
    page = Paginator(results_of(comparison, show, query), _PROMPTS_PER_PAGE).get_page(request.GET.get("page"))
    summary = summary_of(comparison)
    context = {
        "department": department,
        "adapter": comparison.adapter,
        "tab": "adapters",
        "comparison": comparison,
        "summary": summary,
        "promotion": promotion_of(comparison, summary),
        "rows": comparison_rows(comparison, page),
        "listing": Listing(page, query, ""),
        "show": show,
        "shows": SHOWS,
        "is_narrowed": bool(query or show),
    }
    live = live_fragment(
        request, "serving/comparison_live.html", context, seconds=2 if comparison.is_unfinished else None
    )
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    return render(request, "serving/comparison_page.html", {**context, "live": live})


@require_http_methods(["GET", "POST"])
def comparison_cancellation(request: HttpRequest, slug: str, name: str, pk: uuid.UUID) -> HttpResponse:
    """Cancel a comparison."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    comparison = _comparison(department, name, pk)
    back = reverse("comparison", args=[slug, name, pk])
    if request.method == "POST":
        if not comparison_cancel(comparison=comparison, by=person(request)):
            messages.info(request, f"It was {comparison.state} already.")
        return go_to(request, back)
    return ask(request, "serving/comparison_cancel.html", {"comparison": comparison}, back=back)


@require_POST
def comparison_again(request: HttpRequest, slug: str, name: str, pk: uuid.UUID) -> HttpResponse:
    """Have a comparison go on that failed or was cancelled."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    comparison = _comparison(department, name, pk)
    try:
        if not comparison_run_again(comparison=comparison, by=person(request)):
            messages.info(request, f"It is {comparison.state}; what failed or was cancelled can be run again.")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("comparison", slug, name, pk)


@require_http_methods(["GET", "POST"])
def comparison_deletion(request: HttpRequest, slug: str, name: str, pk: uuid.UUID) -> HttpResponse:
    """Delete a comparison."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    comparison = _comparison(department, name, pk)
    if request.method == "POST":
        comparison_delete(comparison=comparison, by=person(request))
        messages.success(request, f"{comparison.name} is deleted.")
        return go_to(request, reverse("comparison-list", args=[slug, name]))
    back = reverse("comparison", args=[slug, name, pk])
    return ask(request, "serving/comparison_delete.html", {"comparison": comparison}, back=back)


@require_http_methods(["GET", "POST"])
def department_comparison_policy(request: HttpRequest, slug: str) -> HttpResponse:
    """Say whether a comparison comes before a rollout."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    back = reverse("department", args=[slug])
    form = ComparisonPolicyForm(request.POST or None, initial=policy_as_json(policy_of(department)))
    if form.is_valid():
        wished = dict(form.cleaned_data)
        policy_set(department=department, proof=Proof(wished.pop("proof")), by=person(request), **wished)
        messages.success(request, "The policy is set.")
        return go_to(request, back)
    return ask(request, "serving/comparison_policy.html", {"department": department}, back=back, form=form)


def _comparison(department: Department, name: str, pk: uuid.UUID) -> Comparison:
    comparisons = adapter_of(department, name).comparisons.select_related(
        "created_by", "adapter__rollout", "adapter__department", "adapter__base_model"
    )
    return get_object_or_404(comparisons, pk=pk)
