"""The console's page of the capacity planner: vLLM or llama.cpp, and how big."""

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from polygraft.answers import add_problems, person
from serving.capacity.plan import Plan
from serving.console.plan_form import PlanForm
from serving.engines.kinds import KIND_NAMES
from serving.fleet.planning import plan_base_model, plan_config
from tenants.access import Right, require


@require_http_methods(["GET", "POST"])
def plan_page(request: HttpRequest) -> HttpResponse:
    """Plan what is filled in. A POST writes nothing; it only has room for a config.json."""
    require(person(request), Right.PLATFORM_VIEW)
    initial = {"base_model": request.GET.get("base_model")}
    form = PlanForm(request.POST or None, initial=initial)
    found = _plan(form) if form.is_valid() else None
    context = {
        "form": form,
        "plan": found,
        "estimates": [(KIND_NAMES[kind], kind, one) for kind, one in found.estimates.items()] if found else [],
        "refused": [(KIND_NAMES[kind], reason) for kind, reason in found.refused.items()] if found else [],
        "chosen_name": KIND_NAMES[found.choice] if found else "",
    }
    return render(request, "serving/plan.html", context, status=422 if form.errors else 200)


def _plan(form: PlanForm) -> Plan | None:
    fields = form.cleaned_data
    choices = {"engine": fields["engine_kind"], "gpu": fields["gpu"]}
    try:
        if fields["base_model"] is not None:
            return plan_base_model(fields["base_model"], form.wish(), **choices)
        return plan_config(fields["config"], form.wish(), **choices)
    except ValidationError as error:
        add_problems(form, error)
        return None
