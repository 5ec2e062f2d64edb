"""The console's page that brings adapters in from folders, buckets and Hugging Face, and shows how far they are."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.console.adapters import existing_adapter
from serving.console.forms import UploadForm
from serving.console.quotas import quota_meters
from serving.console.source_words import source_words
from serving.imports.lifecycle import import_create, import_delete
from serving.imports.sources import BUCKET, FOLDER, HUGGING_FACE, Source, sources_of
from serving.models import BaseModel
from tenants.access import Right, department_for
from tenants.models import Department

_SHOWN = 20
_LABELS = {FOLDER: "Folder", BUCKET: "Bucket"}


class ImportForm(UploadForm):
    """A new import: what an upload says of a version, and where its files are instead of the files."""

    files = None  # type: ignore[assignment]  # as Django takes a field away
    source = forms.ChoiceField(label="From", help_text="Admins open folders and buckets to departments.")
    repo = forms.CharField(
        required=False,
        max_length=200,
        label="Repository",
        help_text="Such as acme/support-bot.",
    )
    revision = forms.CharField(
        required=False,
        max_length=100,
        help_text="A branch, tag or commit. Empty is main; the commit that it means is kept.",
    )
    path = forms.CharField(
        required=False,
        max_length=1000,
        help_text="The folder with the adapter's two files, or an archive of them. Empty: they lie at the top.",
    )

    def __init__(self, department: Department, sources: list[Source], *args: Any, **kwargs: Any) -> None:
        super().__init__(department, *args, **kwargs)
        source = self.fields["source"]
        assert isinstance(source, forms.ChoiceField)  # noqa: S101  # for the type checker
        source.choices = [(f"{one.kind}:{one.name}", _label(one)) for one in sources]

    def wish(self) -> dict[str, str]:
        """The source as services take it, when the form is valid."""
        kind, _, name = self.cleaned_data["source"].partition(":")
        fields = ("repo", "revision", "path") if kind == HUGGING_FACE else ("path",)
        given = {field: self.cleaned_data[field] for field in fields if self.cleaned_data[field]}
        return {"kind": kind, **({"name": name} if name else {}), **given}


@require_http_methods(["GET", "POST"])
def imports(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin an import, and watch those of late."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    sources = sources_of(person(request), department)
    form = ImportForm(
        department, sources, request.POST or None, initial=_initial(department, request.GET.get("name", ""))
    )
    if form.is_valid():
        try:
            import_create(
                department=department,
                name=form.cleaned_data["name"],
                base_model=form.cleaned_data["base_model"],
                source=form.wish(),
                notes=form.cleaned_data["notes"],
                by=person(request),
            )
        except ValidationError as error:
            add_problems(form, error)
        else:
            return redirect("adapter-imports", slug)
    recent = list(department.imports.select_related("version__adapter", "created_by")[:_SHOWN])
    rows = [(wish, source_words(wish.source), _percent(wish.arrived_bytes, wish.size_bytes)) for wish in recent]
    context = {"department": department, "tab": "adapters", "rows": rows}
    is_moving = any(wish.is_moving for wish in recent)
    live = live_fragment(request, "serving/imports_live.html", context, seconds=1 if is_moving else None)
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    context |= {
        "form": form,
        "live": live,
        "sources": sources,
        "bases": BaseModel.objects.adaptable_by(department.pk).exists(),
        "meters": [meter for meter in quota_meters(department) if meter.percent is not None],
    }
    return render(request, "serving/imports.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def import_cancel(request: HttpRequest, slug: str, pk: str) -> HttpResponse:
    """Cancel an import, or forget one that has ended."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    wish = get_object_or_404(department.imports, pk=pk)
    back = reverse("adapter-imports", args=[slug])
    if request.method == "POST":
        import_delete(wish)
        return go_to(request, back)
    return ask(request, "serving/import_cancel.html", {"department": department, "wish": wish}, back=back)


def _initial(department: Department, name: str) -> dict[str, str]:
    """What is known beforehand: a further version is for its adapter's base model."""
    existing = existing_adapter(department, name)
    return {"name": name, **({"base_model": existing.base_model.name} if existing else {})}


def _label(source: Source) -> str:
    return "Hugging Face" if source.kind == HUGGING_FACE else f"{_LABELS[source.kind]}: {source.name}"


def _percent(part: int, whole: int) -> int:
    return 100 * part // whole if whole else 0
