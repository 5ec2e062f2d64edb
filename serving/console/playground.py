"""The console's page on which people talk to a model, as any client of the gateway would."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from polygraft.answers import person
from polygraft.snippets import snippets
from serving.console.callables import callables_of, example_of
from tenants.access import Right, department_for, may
from tenants.grants import TICKET_SECONDS, ticket_issue
from tenants.models import Department

_NAME = "MODEL_NAME"
_IDEAS = (
    "What can you help me with?",
    "My order has not arrived. What now?",
    "Explain what a contract is in two sentences.",
)


@require_safe
def playground(request: HttpRequest) -> HttpResponse:
    """Lead to the playground of the first department in which the person may try models."""
    user = person(request)
    for department in Department.objects.visible_to(user):
        if may(user, Right.MODELS_TRY, department):
            return redirect("try", department.slug)
    return render(request, "serving/playground_nowhere.html")


@require_safe
def try_models(request: HttpRequest, slug: str) -> HttpResponse:
    """Talk to the models of a department."""
    department = department_for(person(request), slug, Right.MODELS_TRY)
    models = callables_of(department)
    asked = request.GET.get("model", "")
    # A pinned version, such as support-bot:2, is callable without being listed.
    pinned = asked if asked.partition(":")[0] in {model.name for model in models} else ""
    return render(
        request,
        "serving/try.html",
        {
            "department": department,
            "departments": Department.objects.visible_to(person(request)).order_by("name")[:50],
            "models": models,
            "pinned": pinned if ":" in pinned else "",
            "chosen": pinned or example_of(models),
            "snippets": snippets(model=_NAME),
            "placeholder": _NAME,
            "ideas": _IDEAS,
        },
    )


@never_cache
@require_POST
def try_ticket(request: HttpRequest, slug: str) -> JsonResponse:
    """A short-lived credential with which the page calls the gateway."""
    department = department_for(person(request), slug, Right.MODELS_TRY)
    expires_at = timezone.now() + timedelta(seconds=TICKET_SECONDS)
    ticket = ticket_issue(user=person(request), department=department)
    return JsonResponse({"ticket": ticket, "expires_at": expires_at.isoformat()})
