"""The console's dialogs about one version: its notes, archiving, restoring and deleting it."""

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import ask, go_to, person
from serving.adapters.retirement import (
    adapter_archive,
    adapter_restore,
    version_archive,
    version_delete,
    version_restore,
)
from serving.adapters.uses import uses_of_adapter, uses_of_version
from serving.adapters.versions import version_describe
from serving.console.adapters import adapter_of
from serving.console.forms import DeleteForm
from serving.models import AdapterVersion
from tenants.access import Right, department_for


class NotesForm(forms.Form):
    """What people say about a version."""

    notes = forms.CharField(required=False, max_length=2000, widget=forms.Textarea)
    keep = forms.BooleanField(required=False, label="Keep it: retention never retires this version")


@require_http_methods(["GET", "POST"])
def version_notes(request: HttpRequest, slug: str, name: str, number: int) -> HttpResponse:
    """Change a version's notes, and whether it must be kept."""
    version = _version(request, slug, name, number)
    back = reverse("adapter", args=[slug, name])
    form = NotesForm(request.POST or None, initial={"notes": version.notes, "keep": version.keep})
    if request.method == "POST" and form.is_valid():
        version_describe(version=version, by=person(request), **form.cleaned_data)
        return go_to(request, back)
    return ask(request, "serving/version_notes.html", {"version": version}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def version_archiving(request: HttpRequest, slug: str, name: str, number: int) -> HttpResponse:
    """Take a version out of service."""
    version = _version(request, slug, name, number)
    if request.method == "POST":
        return _act(request, version, version_archive, "is archived")
    return _ask(request, "serving/version_archive.html", version)


@require_http_methods(["GET", "POST"])
def version_restoring(request: HttpRequest, slug: str, name: str, number: int) -> HttpResponse:
    """Bring an archived version back."""
    version = _version(request, slug, name, number)
    if request.method == "POST":
        return _act(request, version, version_restore, "is back")
    return _ask(request, "serving/version_restore.html", version)


@require_http_methods(["GET", "POST"])
def version_deletion(request: HttpRequest, slug: str, name: str, number: int) -> HttpResponse:
    """Delete a version, after its name has been typed."""
    version = _version(request, slug, name, number)
    form = DeleteForm(f"{name}:{number}", request.POST or None)
    if form.is_valid():
        return _act(request, version, version_delete, "is deleted")
    return _ask(request, "serving/version_delete.html", version, form)


@require_http_methods(["GET", "POST"])
def adapter_archiving(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Take an adapter out of service."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    back = reverse("adapter", args=[slug, name])
    if request.method == "POST":
        adapter_archive(adapter=adapter, by=person(request))
        messages.success(request, f"{adapter.name} is archived.")
        return go_to(request, back)
    context = {"adapter": adapter, "uses": uses_of_adapter(adapter)}
    return ask(request, "serving/adapter_archive.html", context, back=back)


@require_http_methods(["GET", "POST"])
def adapter_restoring(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Bring an archived adapter back."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    back = reverse("adapter", args=[slug, name])
    if request.method == "POST":
        adapter_restore(adapter=adapter, by=person(request))
        messages.success(request, f"{adapter.name} is back.")
        return go_to(request, back)
    return ask(request, "serving/adapter_restore.html", {"adapter": adapter}, back=back)


def _version(request: HttpRequest, slug: str, name: str, number: int) -> AdapterVersion:
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    version = get_object_or_404(adapter.versions, number=number)
    version.adapter = adapter
    return version


def _ask(request: HttpRequest, template: str, version: AdapterVersion, form: DeleteForm | None = None) -> HttpResponse:
    adapter = version.adapter
    back = reverse("adapter", args=[adapter.department.slug, adapter.name])
    context = {
        "adapter": adapter,
        "version": version,
        "uses": uses_of_version(version),
        "confirm": f"{adapter.name}:{version.number}",
    }
    return ask(request, template, context, back=back, form=form)


def _act(request: HttpRequest, version: AdapterVersion, act: Callable[..., None], what: str) -> HttpResponse:
    adapter = version.adapter
    try:
        act(version=version, by=person(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"Version {version.number} of {adapter.name} {what}.")
    return go_to(request, reverse("adapter", args=[adapter.department.slug, adapter.name]))
