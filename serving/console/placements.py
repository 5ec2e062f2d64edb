"""The console's dialogs that say which kind of engine answers first, for a department and for an adapter."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import ask, go_to, person
from serving.console.placement_forms import AdapterPlacementForm, DepartmentPlacementForm
from serving.placement.placements import adapter_place, department_place
from tenants.access import Right, department_for


@require_http_methods(["GET", "POST"])
def department_placement(request: HttpRequest, slug: str) -> HttpResponse:
    """Place a department; its adapters follow unless they say otherwise."""
    department = department_for(person(request), slug, Right.PLATFORM_MANAGE)
    back = reverse("department", args=[slug])
    form = DepartmentPlacementForm(request.POST or None, initial={"placement": department.placement})
    if form.is_valid():
        department_place(department=department, placement=form.cleaned_data["placement"], by=person(request))
        messages.success(request, f"{department.name} is placed: {department.get_placement_display()}.")
        return go_to(request, back)
    return ask(request, "serving/placement.html", {"subject": department.name}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def adapter_placement(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Place one adapter, or have it follow its department."""
    department = department_for(person(request), slug, Right.PLATFORM_MANAGE)
    adapter = get_object_or_404(department.adapters.alive(), name=name)
    back = reverse("adapter", args=[slug, name])
    form = AdapterPlacementForm(request.POST or None, initial={"placement": adapter.placement})
    if form.is_valid():
        adapter_place(adapter=adapter, placement=form.cleaned_data["placement"], by=person(request))
        messages.success(
            request, f"{adapter.name} is placed: {adapter.get_placement_display() or 'as its department'}."
        )
        return go_to(request, back)
    return ask(request, "serving/placement.html", {"subject": adapter.name}, back=back, form=form)
