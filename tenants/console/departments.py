"""The console's pages about departments as such: the list, a new one, a new name, its fallback policy."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from polygraft.listing import listing
from tenants.access import Right, department_for, require
from tenants.console.forms import DepartmentForm, FallbackForm, RenameForm
from tenants.departments import department_create, department_fall_back, department_rename
from tenants.models import Department, Fallback


@require_safe
def department_list(request: HttpRequest) -> HttpResponse:
    """The departments that the person may know of."""
    now = timezone.now()
    # Counted apart from the choice of rows, whose join would let a member see only themselves in the counts.
    visible = Department.objects.visible_to(person(request)).values("pk")
    usable = Q(api_keys__expires_at=None) | Q(api_keys__expires_at__gt=now)
    usable &= Q(api_keys__revoked_at=None) | Q(api_keys__revoked_at__gt=now)
    rows = Department.objects.filter(pk__in=visible).annotate(
        member_count=Count("memberships", distinct=True),
        key_count=Count("api_keys", filter=usable, distinct=True),
    )
    sorts = {
        "name": "name",
        "slug": "slug",
        "members": "member_count",
        "keys": "key_count",
        "created": "created_at",
    }
    return render(
        request,
        "tenants/department_list.html",
        {"listing": listing(request, rows, search=["name", "slug"], sorts=sorts, default="name")},
    )


@require_http_methods(["GET", "POST"])
def department_new(request: HttpRequest) -> HttpResponse:
    """Create a department."""
    require(person(request), Right.DEPARTMENT_CREATE)
    form = DepartmentForm(request.POST or None)
    if form.is_valid():
        try:
            department = department_create(**form.cleaned_data, by=person(request))
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, f"{department.name} is created. Next: upload an adapter, or make a key.")
            return redirect("department", department.slug)
    return render(request, "tenants/department_new.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def department_name(request: HttpRequest, slug: str) -> HttpResponse:
    """Rename a department."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    back = reverse("department", args=[slug])
    form = RenameForm(request.POST or None, initial={"name": department.name})
    if form.is_valid():
        department_rename(department=department, name=form.cleaned_data["name"], by=person(request))
        return go_to(request, back)
    return ask(request, "tenants/department_rename.html", {"department": department}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def department_fallback(request: HttpRequest, slug: str) -> HttpResponse:
    """Say whether another kind of engine may answer a department."""
    department = department_for(person(request), slug, Right.DEPARTMENT_CHANGE)
    back = reverse("department", args=[slug])
    form = FallbackForm(request.POST or None, initial={"fallback": department.fallback})
    if form.is_valid():
        fallback = Fallback(form.cleaned_data["fallback"])
        department_fall_back(department=department, fallback=fallback, by=person(request))
        return go_to(request, back)
    return ask(request, "tenants/department_fallback.html", {"department": department}, back=back, form=form)
