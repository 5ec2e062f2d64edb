"""The console's pages about deployments: one with its events, and the dialogs that make, change and end them."""

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.capacity.need import Need
from serving.console.deployment_forms import DeploymentForm, ReplicasForm, WishesForm, filled_in
from serving.console.engine_rows import engine_rows, registry
from serving.console.events import newest_events
from serving.engines.kinds import KIND_NAMES, EngineKind
from serving.fleet.deployments import deployment_change, deployment_create, deployment_delete, deployment_scale
from serving.fleet.needs import deployment_need
from serving.fleet.restarts import deployment_start_again, restart_of
from serving.models import AdapterVersion, Deployment, EngineState
from tenants.access import Right, require

_REFRESH_SECONDS = 2
_ENDED_SHOWN = 5


@require_safe
def deployment_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One deployment: what is wished for, what runs, what an engine of it needs, and what was decided about it."""
    require(person(request), Right.PLATFORM_VIEW)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    engines = deployment.engines.select_related("node", "deployment__base_model")
    shown = [*engines.living(), *engines.exclude(pk__in=engines.living().values("pk"))[:_ENDED_SHOWN]]
    context = {
        "deployment": deployment,
        "restart": restart_of(deployment),
        "kind_name": KIND_NAMES[EngineKind(deployment.engine_kind)],
        "rows": engine_rows(shown, registry()),
        "ready_count": sum(engine.state == EngineState.READY for engine in shown),
        "need": _need(deployment),
        "pinned": deployment.pinned.select_related("department"),
        "events": newest_events(deployment=deployment),
    }
    live = live_fragment(request, "serving/deployment_live.html", context, seconds=_REFRESH_SECONDS)
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    return render(request, "serving/deployment_page.html", {**context, "live": live})


def _need(deployment: Deployment) -> Need | None:
    adapters = AdapterVersion.objects.count_wanted_by_base_model()
    return deployment_need(deployment, adapters.get(deployment.base_model_id, 0))


@require_http_methods(["GET", "POST"])
def deployment_new(request: HttpRequest) -> HttpResponse:
    """Wish for engines of a base model."""
    require(person(request), Right.PLATFORM_MANAGE)
    back = reverse("engine-list")
    form = DeploymentForm(request.POST or None, initial={"base_model": request.GET.get("base_model")})
    if form.is_valid():
        try:
            deployment = deployment_create(
                base_model=form.cleaned_data["base_model"],
                engine_kind=form.cleaned_data["engine_kind"],
                by=person(request),
                **form.wishes(),
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            return go_to(request, reverse("deployment", args=[deployment.pk]))
    return ask(request, "serving/deployment_new.html", {}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def deployment_changes(request: HttpRequest, pk: int) -> HttpResponse:
    """Change bounds, nodes, adapters and options."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("deployment", args=[pk])
    form = WishesForm(request.POST or None, kinds=(EngineKind(deployment.engine_kind),), initial=filled_in(deployment))
    if form.is_valid():
        try:
            deployment_change(deployment=deployment, by=person(request), **form.wishes())
        except ValidationError as error:
            deployment.refresh_from_db()
            add_problems(form, error)
        else:
            return go_to(request, back)
    return ask(request, "serving/deployment_change.html", {"deployment": deployment}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def deployment_replicas(request: HttpRequest, pk: int) -> HttpResponse:
    """Change how many engines there should be."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("engine-list")
    form = ReplicasForm(request.POST or None, initial={"replicas": deployment.replicas})
    if form.is_valid():
        try:
            deployment_scale(deployment=deployment, replicas=form.cleaned_data["replicas"], by=person(request))
        except ValidationError as error:
            add_problems(form, error)
        else:
            return go_to(request, back)
    return ask(request, "serving/deployment_replicas.html", {"deployment": deployment}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def deployment_deletion(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a deployment whose engines have all ended."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("engine-list")
    problems: list[str] = []
    if request.method == "POST":
        try:
            deployment_delete(deployment=deployment, by=person(request))
        except ValidationError as error:
            problems = error.messages
        else:
            return go_to(request, back)
    context = {"deployment": deployment, "problems": problems}
    return ask(request, "serving/deployment_delete.html", context, back=back)


@require_http_methods(["GET", "POST"])
def deployment_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a deployment again whose engines failed too often."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("deployment", args=[pk])
    if request.method == "POST":
        deployment_start_again(deployment=deployment, by=person(request))
        return go_to(request, back)
    return ask(request, "serving/deployment_start_again.html", {"deployment": deployment}, back=back)
