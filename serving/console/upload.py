"""The console's page that takes an adapter in; its JavaScript sends the files to the API in pieces, with progress."""

from typing import cast

from django.core.exceptions import ValidationError
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from polygraft.answers import add_problems, person
from polygraft.conf import config
from serving.adapters.intake import adapter_upload
from serving.console.adapters import existing_adapter
from serving.console.forms import UploadForm
from serving.console.quotas import quota_meters
from serving.models import AdapterVersion, BaseModel
from tenants.access import Right, department_for
from tenants.models import Department


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    """Upload a version of a new adapter, or with `?name=` of an existing one."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    existing = existing_adapter(department, request.GET.get("name", ""))
    initial = {"name": existing.name, "base_model": existing.base_model.name} if existing else {}
    data = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = UploadForm(department, *data, initial=initial)
    version = _take_in(request, department, form) if form.is_valid() else None
    if version is not None:
        return redirect("adapter", slug, form.cleaned_data["name"])
    bases = cast("ModelChoiceField[BaseModel]", form.fields["base_model"]).queryset
    context = {
        "department": department,
        "tab": "adapters",
        "form": form,
        "existing": existing,
        "bases": bases,
        "max_bytes": config().max_upload_bytes,
        "meters": [meter for meter in quota_meters(department) if meter.percent is not None],
    }
    return render(request, "serving/upload.html", context, status=422 if form.errors else 200)


def _take_in(request: HttpRequest, department: Department, form: UploadForm) -> AdapterVersion | None:
    wished = form.cleaned_data
    try:
        return adapter_upload(
            department=department,
            name=wished["name"],
            base_model=wished["base_model"],
            files=[(part.name, part.file) for part in wished["files"]],
            notes=wished["notes"],
            by=person(request),
        )
    except ValidationError as error:
        add_problems(form, error)
        return None
