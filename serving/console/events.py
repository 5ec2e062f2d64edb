"""The console's page of events, and the newest of them for the pages of what they are about."""

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.listing import listing
from serving.models import PlatformEvent
from tenants.access import Right, require

_NEWEST = 10
_RELATED = ("base_model", "deployment__base_model", "engine", "node", "department", "adapter")


def newest_events(**about: object) -> QuerySet[PlatformEvent]:
    """The latest events, of everything or of what the arguments name: `newest_events(engine=engine)`."""
    return PlatformEvent.objects.filter(**about).select_related(*_RELATED)[:_NEWEST]


@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    """What the platform decided and noticed, narrowed by kind and by whether it is a problem."""
    require(person(request), Right.PLATFORM_VIEW)
    rows = PlatformEvent.objects.select_related(*_RELATED)
    chosen = {name: request.GET.get(name, "") for name in ("kind", "problems")}
    if chosen["kind"]:
        rows = rows.filter(kind=chosen["kind"])
    if chosen["problems"]:
        rows = rows.filter(is_problem=True)
    return render(
        request,
        "serving/event_list.html",
        {
            "listing": listing(request, rows, search=["sentence"], sorts={"at": "last_at"}, default="-at"),
            "chosen": chosen,
            "is_narrowed": any(chosen.values()) or bool(request.GET.get("q")),
            "kinds": PlatformEvent.objects.order_by("kind").values_list("kind", flat=True).distinct(),
        },
    )
