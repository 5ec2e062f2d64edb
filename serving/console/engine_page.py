"""The console's page of one engine: what it does, what happened to it, and its log as it grows."""

from uuid import UUID

import redis
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.live import redis_client
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.console.engine_rows import engine_rows, registry
from serving.console.events import newest_events
from serving.fleet.engine_logs import engine_log_read
from serving.models import Engine
from serving.models.engine import LIVING_STATES
from tenants.access import Right, require

_REFRESH_SECONDS = 2


@require_safe
def engine_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One engine; while it lives the page follows it."""
    require(person(request), Right.PLATFORM_VIEW)
    engine = get_object_or_404(Engine.objects.select_related("node", "deployment__base_model"), pk=pk)
    known = registry()
    context = {
        "engine": engine,
        "row": engine_rows([engine], known)[0],
        "entry": next((entry for entry in known.entries if entry.id == str(engine.pk)), None),
        "registry_is_away": known.is_away,
        "events": newest_events(engine=engine),
        "log": _log(str(engine.pk)),
    }
    seconds = _REFRESH_SECONDS if engine.state in LIVING_STATES else None
    live = live_fragment(request, "serving/engine_page_live.html", context, seconds=seconds)
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    return render(request, "serving/engine_page.html", {"engine": engine, "live": live})


def _log(engine_id: str) -> str:
    try:
        return "\n".join(engine_log_read(redis_client(), engine_id))
    except redis.RedisError:
        return ""
