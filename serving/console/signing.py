"""The console's pages of the keys with which a department's adapters must be signed."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import listing
from serving.adapters.signing import signing_key_add, signing_key_remove
from tenants.access import Right, department_for


class SigningKeyForm(forms.Form):
    """A new key."""

    name = forms.CharField(max_length=100, help_text="Whose or what for, such as training cluster.")
    public_key = forms.CharField(
        max_length=1000, widget=forms.Textarea, label="Public key", help_text="What minisign.pub holds."
    )


@require_safe
def signing_keys(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's signing keys."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    rows = department.signing_keys.select_related("created_by")
    sorts = {"name": "name", "added": "created_at"}
    shown = listing(request, rows, search=["name", "key_id"], sorts=sorts, default="name")
    context = {"department": department, "tab": "adapters", "listing": shown}
    return render(request, "serving/signing_keys.html", context)


@require_http_methods(["GET", "POST"])
def signing_key_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Add a key."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    back = reverse("signing-keys", args=[slug])
    form = SigningKeyForm(request.POST or None)
    if form.is_valid():
        try:
            signing_key_add(department=department, by=person(request), **form.cleaned_data)
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, "The key is added. From now on, adapters must be signed.")
            return go_to(request, back)
    return ask(request, "serving/signing_key_new.html", {"department": department}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def signing_key_removal(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Remove a key."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    key = get_object_or_404(department.signing_keys, pk=pk)
    back = reverse("signing-keys", args=[slug])
    if request.method == "POST":
        signing_key_remove(key=key, by=person(request))
        messages.success(request, f"The key {key.key_id} is removed.")
        return go_to(request, back)
    context = {"department": department, "key": key, "is_last": department.signing_keys.count() == 1}
    return ask(request, "serving/signing_key_remove.html", context, back=back)
