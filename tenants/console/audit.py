"""The console's page of the audit: who did what, when."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.listing import listing
from tenants.models import AuditEvent, Department


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """The events that the person may read, narrowed by department, action and person."""
    events = AuditEvent.objects.visible_to(person(request))
    rows = events.select_related("department")
    chosen = {name: request.GET.get(name, "") for name in ("department", "action", "person")}
    if chosen["department"]:
        rows = rows.filter(department__slug=chosen["department"])
    if chosen["action"]:
        rows = rows.filter(action=chosen["action"])
    if chosen["person"]:
        rows = rows.filter(actor_name=chosen["person"])
    return render(
        request,
        "tenants/audit.html",
        {
            "listing": listing(
                request, rows, search=["actor_name", "target", "request_id"], sorts={"at": "at"}, default="-at"
            ),
            "chosen": chosen,
            "is_narrowed": any(chosen.values()) or bool(request.GET.get("q")),
            "departments": Department.objects.visible_to(person(request)).values_list("slug", flat=True),
            "actions": events.order_by("action").values_list("action", flat=True).distinct(),
            "people": events.order_by("actor_name").values_list("actor_name", flat=True).distinct(),
        },
    )
