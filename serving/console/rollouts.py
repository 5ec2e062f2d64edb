"""The console's pages about an adapter's rollout: changing it, going back, its history, numbers and feedback."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import listing
from polygraft.live_fragment import asks_for_fragment, fragment_answer
from serving.console.adapters import adapter_of
from serving.console.version_numbers import numbers_fragment
from serving.models import Feedback
from serving.rollouts import rollout_back, rollout_set
from serving.rollouts.changes import rollout_before, weights_of
from serving.rollouts.gates import gates_ask
from serving.rollouts.shares import shares_with
from serving.rollouts.thresholds import Thresholds
from serving.templatetags.serving import rollout_words
from tenants.access import Right, department_for, may

_USUAL = Thresholds()


class RolloutForm(forms.Form):
    """The share of one version, and what becomes of it if it does badly."""

    share = forms.IntegerField(
        min_value=1,
        max_value=100,
        required=False,
        label="Share of conversations, in percent",
        help_text="Below 100 it is a canary: the rest stays where it is.",
    )
    reason = forms.CharField(
        required=False, max_length=1000, label="Why", help_text="For your colleagues, in the history."
    )
    watched = forms.BooleanField(required=False, label="Take a canary back by itself when it does badly")
    requests = forms.IntegerField(
        min_value=10, max_value=1_000_000, required=False, help_text="That both versions must have had."
    )
    error_rate = forms.FloatField(
        min_value=0.1,
        max_value=100,
        required=False,
        label="More errors",
        help_text="By so many percentage points more of its requests fail.",
    )
    slower = forms.FloatField(
        min_value=1.1,
        max_value=100,
        required=False,
        label="Slower",
        help_text="Its first tokens, or whole answers, take so many times as long.",
    )

    despite_gates = forms.BooleanField(required=False, label="Roll out all the same; the audit says so")

    def clean_share(self) -> int:
        """All, unless something else is asked for."""
        return self.cleaned_data["share"] or 100

    def thresholds(self) -> Thresholds | None:
        """From where on the version is taken back."""
        if not self.cleaned_data["watched"]:
            return None
        given = {name: self.cleaned_data[name] for name in ("requests", "error_rate", "slower")}
        return Thresholds(**{name: value for name, value in given.items() if value is not None})


@require_http_methods(["GET", "POST"])
def adapter_rollout(request: HttpRequest, slug: str, name: str, number: int) -> HttpResponse:
    """Give one version all conversations, or a share of them."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    version = get_object_or_404(adapter.versions, number=number)
    back = reverse("adapter", args=[slug, name])
    initial = {"share": 100, "watched": True, **_USUAL.as_json()}
    may_override = may(person(request), Right.PLATFORM_MANAGE)
    form = RolloutForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        weights = shares_with(adapter.weights, version.number, form.cleaned_data["share"])
        try:
            rollout_set(
                adapter=adapter,
                weights=weights,
                by=person(request),
                step_back=form.thresholds(),
                reason=form.cleaned_data["reason"],
                despite_gates=may_override and form.cleaned_data["despite_gates"],
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, f"{adapter.name} now means {rollout_words(weights)}.")
            return go_to(request, back)
    refusals = gates_ask(adapter, {version.number: 100})
    context = {
        "department": department,
        "adapter": adapter,
        "version": version,
        "refusals": refusals,
        "may_override": may_override and bool(refusals),
    }
    return ask(request, "serving/adapter_rollout.html", context, back=back, form=form)


@require_http_methods(["GET", "POST"])
def rollout_rollback(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Go back to the rollout before this one."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    back = reverse("adapter", args=[slug, name])
    before = rollout_before(adapter)
    if request.method == "POST":
        try:
            # Somebody else may have changed the rollout since the page with the button was made.
            if before is not None and request.POST.get("to") not in (None, str(before.pk)):
                raise ValidationError(f"Somebody else has changed the rollout of {adapter.name} meanwhile. Look again.")
            rollout_back(adapter=adapter, by=person(request))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            adapter = adapter_of(department, name)
            messages.success(request, f"{adapter.name} means {rollout_words(adapter.weights)} again.")
        return go_to(request, back)
    weights = weights_of(before) if before is not None else {}
    context = {"department": department, "adapter": adapter, "before": before, "weights": weights}
    return ask(request, "serving/rollout_rollback.html", context, back=back)


@require_safe
def rollout_history(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """What an adapter's name has meant: when, who, why."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = adapter_of(department, name)
    changes = adapter.rollout_changes.select_related("by")
    shown = listing(request, changes, search=["reason", "by__username"], sorts={"at": "pk"}, default="-at")
    for change in shown.page:
        change.shares = weights_of(change)  # type: ignore[attr-defined]  # for the template
    context = {"department": department, "adapter": adapter, "tab": "adapters", "listing": shown}
    return render(request, "serving/rollout_history.html", context)


@require_safe
def feedback_list(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """What the department thought of an adapter's answers."""
    department = department_for(person(request), slug, Right.USAGE_VIEW)
    adapter = adapter_of(department, name)
    rows = Feedback.objects.filter(adapter_version__adapter=adapter, department=department)
    rows = rows.select_related("adapter_version", "user", "key")
    sorts = {"at": "at", "version": "adapter_version__number", "rating": "rating"}
    shown = listing(request, rows, search=["comment", "request_id"], sorts=sorts, default="-at")
    context = {"department": department, "adapter": adapter, "tab": "adapters", "listing": shown}
    return render(request, "serving/feedback_list.html", context)


@require_safe
def adapter_numbers(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """The part of an adapter's page that shows how its versions do, as it refreshes itself."""
    department = department_for(person(request), slug, Right.USAGE_VIEW)
    adapter = adapter_of(department, name)
    if not asks_for_fragment(request):
        return go_to(request, reverse("adapter", args=[slug, name]))
    return fragment_answer(request, numbers_fragment(request, adapter))
