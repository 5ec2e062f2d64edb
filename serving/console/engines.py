"""The console's page about engines, the deployments that wish for them, and the nodes that host them."""

from datetime import timedelta

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.listing import PER_PAGE
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.console.engine_rows import engine_rows, living_node_names, registry
from serving.console.events import newest_events
from serving.models import Deployment, Engine, EngineState, Node
from serving.models.engine import LIVING_STATES
from tenants.access import Right, require

_REFRESH_SECONDS = 2
# What failed lately shows beside what lives; older history is a click away.
_RECENT = timedelta(hours=1)


@require_safe
def engine_list(request: HttpRequest) -> HttpResponse:
    """What should run, what runs, and where."""
    require(person(request), Right.PLATFORM_VIEW)
    shows_all = request.GET.get("show") == "all"
    engines = Engine.objects.select_related("node", "deployment__base_model")
    if not shows_all:
        recent = Q(state=EngineState.FAILED, ended_at__gte=timezone.now() - _RECENT)
        engines = engines.filter(Q(state__in=LIVING_STATES) | recent)
    page = Paginator(engines, PER_PAGE).get_page(request.GET.get("page"))
    known = registry()
    context = {
        "deployments": Deployment.objects.select_related("base_model").annotate(
            ready_count=Count("engines", filter=Q(engines__state=EngineState.READY)),
            living_count=Count("engines", filter=Q(engines__state__in=LIVING_STATES)),
        ),
        "page": page,
        "rows": engine_rows(page, known),
        "registry_is_away": known.is_away,
        "nodes": Node.objects.annotate(living_count=Count("engines", filter=Q(engines__state__in=LIVING_STATES))),
        "living_nodes": living_node_names(),
        "shows_all": shows_all,
        "events": newest_events(),
    }
    live = live_fragment(request, "serving/engine_live.html", context, seconds=_REFRESH_SECONDS)
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    return render(request, "serving/engine_list.html", {"live": live})
