"""The console's page that holds two versions of an adapter against each other."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from serving.adapters.lineage import differences
from serving.console.adapters import adapter_of
from tenants.access import Right, department_for


class PairForm(forms.Form):
    """Which two."""

    first = forms.IntegerField(min_value=1)
    second = forms.IntegerField(min_value=1)


@require_safe
def version_differences(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Two versions side by side; without a choice, the newest two."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = adapter_of(department, name)
    numbers = list(adapter.versions.order_by("-number").values_list("number", flat=True)[:200])
    if len(numbers) < 2:
        return redirect("adapter", slug, name)
    form = PairForm(request.GET)
    chosen = (form.cleaned_data["first"], form.cleaned_data["second"]) if form.is_valid() else (numbers[1], numbers[0])
    only = request.GET.get("show") == "differing"
    first, second = (get_object_or_404(adapter.versions.select_related("uploaded_by"), number=n) for n in chosen)
    return render(
        request,
        "serving/version_differences.html",
        {
            "department": department,
            "adapter": adapter,
            "tab": "adapters",
            "numbers": numbers,
            "versions": (first, second),
            "shows_differing": only,
            "rows": [row for row in differences(first, second) if row.differs or not only],
        },
    )
