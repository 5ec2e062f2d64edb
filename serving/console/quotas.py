"""The console's page of quotas, and the meter that shows their use."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import ask, go_to, person
from serving.adapters.quotas import Use, quota_use
from tenants.access import Right, department_for
from tenants.departments import department_quota
from tenants.models import Department

_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Meter:
    """One quota and its use in words; `percent` is None without a limit."""

    words: str
    used: str
    percent: int | None


def quota_meters(department: Department) -> list[Meter]:
    """What a department holds of what it may hold."""
    return meters_of(department, quota_use(department))


def meters_of(department: Department, use: Use) -> list[Meter]:
    """The same of a use that is known."""
    most_bytes, most_adapters = department.quota_bytes, department.quota_adapters
    return [
        Meter(
            "Adapters' files" if most_bytes is None else f"{filesizeformat(most_bytes)} of adapters' files",
            filesizeformat(use.bytes),
            _percent(use.bytes, most_bytes),
        ),
        Meter(
            "Adapters" if most_adapters is None else f"{most_adapters} adapter{'' if most_adapters == 1 else 's'}",
            str(use.adapters),
            _percent(use.adapters, most_adapters),
        ),
    ]


class QuotaForm(forms.Form):
    """What a department may hold; empty: without limit."""

    gigabytes = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=3,
        label="GB of files",
        help_text="Of all its versions, archived ones too; rejected and deleted ones do not count.",
    )
    adapters = forms.IntegerField(
        required=False, min_value=0, max_value=1_000_000, help_text="Archived ones count, too."
    )


@require_http_methods(["GET", "POST"])
def department_quotas(request: HttpRequest, slug: str) -> HttpResponse:
    """Change how much a department may hold."""
    department = department_for(person(request), slug, Right.DEPARTMENT_LIMIT)
    back = reverse("department-limits", args=[slug])
    form = QuotaForm(request.POST or None, initial=_initial(department))
    if form.is_valid():
        gigabytes = form.cleaned_data["gigabytes"]
        department_quota(
            department=department,
            most_bytes=None if gigabytes is None else int(gigabytes * _GIB),
            most_adapters=form.cleaned_data["adapters"],
            by=person(request),
        )
        messages.success(request, f"The quotas of {department.name} are changed.")
        return go_to(request, back)
    context = {"department": department, "meters": quota_meters(department)}
    return ask(request, "serving/quotas.html", context, back=back, form=form)


def _initial(department: Department) -> dict[str, Any]:
    most = department.quota_bytes
    gigabytes = None if most is None else (Decimal(most) / _GIB).quantize(Decimal("0.001")).normalize()
    return {"gigabytes": None if gigabytes is None else f"{gigabytes:f}", "adapters": department.quota_adapters}


def _percent(used: int, most: int | None) -> int | None:
    if most is None:
        return None
    return min(100, 100 * used // most) if most else 100
