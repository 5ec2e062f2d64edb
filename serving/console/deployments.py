"""The console's dialogs that say how many engines of a base model there should be."""

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import add_problems, ask, go_to, person
from serving.console.forms import DeploymentForm, ReplicasForm
from serving.deployments import deployment_create, deployment_delete, deployment_scale
from serving.models import Deployment
from tenants.access import Right, require


@require_http_methods(["GET", "POST"])
def deployment_new(request: HttpRequest) -> HttpResponse:
    """Wish for engines of a base model."""
    require(person(request), Right.PLATFORM_MANAGE)
    back = reverse("engine-list")
    form = DeploymentForm(request.POST or None, initial={"base_model": request.GET.get("base_model")})
    if form.is_valid():
        try:
            deployment_create(
                base_model=form.cleaned_data["base_model"],
                engine_kind=form.cleaned_data["engine_kind"],
                replicas=form.cleaned_data["replicas"],
                options=form.options(),
                by=person(request),
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            return go_to(request, back)
    return ask(request, "serving/deployment_new.html", {}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def deployment_replicas(request: HttpRequest, pk: int) -> HttpResponse:
    """Change how many engines there should be."""
    require(person(request), Right.PLATFORM_MANAGE)
    deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
    back = reverse("engine-list")
    form = ReplicasForm(request.POST or None, initial={"replicas": deployment.replicas})
    if form.is_valid():
        deployment_scale(deployment=deployment, replicas=form.cleaned_data["replicas"], by=person(request))
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
