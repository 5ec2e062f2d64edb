"""The console's pages about base models: the list, a new one, prices."""

from dataclasses import asdict

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import listing
from serving.accounting.prices import Prices
from serving.base_models import base_model_create, base_model_reprice
from serving.console.engine_rows import registry
from serving.console.forms import BaseModelForm, PricesForm
from serving.models import BaseModel
from tenants.access import Right, require
from tenants.models import Department


@require_safe
def base_model_list(request: HttpRequest) -> HttpResponse:
    """The base models that the person's departments may use."""
    user = person(request)
    visible = Department.objects.visible_to(user).values("pk")
    rows = (
        BaseModel.objects.filter(pk__in=BaseModel.objects.visible_to(user).values("pk"))
        .annotate(
            adapter_count=Count(
                "adapters",
                filter=Q(adapters__deleted_at=None, adapters__department__in=visible),
                distinct=True,
            )
        )
        .prefetch_related("departments")
    )
    sorts = {"name": "name", "adapters": "adapter_count", "created": "created_at"}
    return render(
        request,
        "serving/base_model_list.html",
        {
            "listing": listing(request, rows, search=["name", "source"], sorts=sorts, default="name"),
            "ready_engines": registry().ready_by_base_model(),
        },
    )


@require_http_methods(["GET", "POST"])
def base_model_new(request: HttpRequest) -> HttpResponse:
    """Add a base model whose files lie on the nodes."""
    require(person(request), Right.PLATFORM_MANAGE)
    form = BaseModelForm(request.POST or None)
    if form.is_valid():
        try:
            model = base_model_create(**form.cleaned_data, by=person(request))
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, f"{model.name} is added. Next: deploy engines for it under Engines.")
            return redirect("base-model-list")
    return render(request, "serving/base_model_new.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def base_model_prices(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what a base model's tokens cost."""
    require(person(request), Right.PLATFORM_MANAGE)
    model = get_object_or_404(BaseModel, pk=pk)
    form = PricesForm(request.POST or None, initial=asdict(model.prices))
    back = reverse("base-model-list")
    if form.is_valid():
        base_model_reprice(model=model, prices=Prices(**form.cleaned_data), by=person(request))
        return go_to(request, back)
    return ask(request, "serving/base_model_prices.html", {"model": model}, back=back, form=form)
