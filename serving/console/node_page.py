"""The console's page of one node: its machine, its GPUs, its engines, and what happened there."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.console.engine_rows import engine_rows, living_node_names, registry
from serving.console.events import newest_events
from serving.models import Engine, Node
from tenants.access import Right, require

_REFRESH_SECONDS = 3


@require_safe
def node_page(request: HttpRequest, name: str) -> HttpResponse:
    """One node, as it last described itself."""
    require(person(request), Right.PLATFORM_VIEW)
    node = get_object_or_404(Node, name=name)
    known = registry()
    engines = Engine.objects.living().filter(node=node).select_related("node", "deployment__base_model")
    context = {
        "node": node,
        "is_alive": node.name in living_node_names(),
        "registry_is_away": known.is_away,
        "rows": engine_rows(engines, known),
        "events": newest_events(node=node),
    }
    live = live_fragment(request, "serving/node_page_live.html", context, seconds=_REFRESH_SECONDS)
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    return render(request, "serving/node_page.html", {"node": node, "live": live})
