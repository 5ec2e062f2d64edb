"""The console's pages about who belongs to a department."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import ask, go_to, person
from polygraft.listing import listing
from tenants.access import Right, department_for
from tenants.console.forms import MemberForm, RoleForm
from tenants.departments import membership_remove, membership_set
from tenants.models import Membership, Role


@require_safe
def member_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's members and their roles."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    rows = department.memberships.select_related("user")
    sorts = {"name": "user__username", "role": "role", "since": "created_at"}
    return render(
        request,
        "tenants/member_list.html",
        {
            "department": department,
            "tab": "members",
            "listing": listing(request, rows, search=["user__username", "user__email"], sorts=sorts, default="name"),
        },
    )


@require_http_methods(["GET", "POST"])
def member_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a person into a department."""
    department = department_for(person(request), slug, Right.MEMBERS_MANAGE)
    back = reverse("member-list", args=[slug])
    form = MemberForm(department, request.POST or None)
    if form.is_valid():
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        membership_set(department=department, user=user, role=role, by=person(request))
        messages.success(request, f"{user} is now {role.label.lower()} in {department.name}.")
        return go_to(request, back)
    return ask(request, "tenants/member_new.html", {"department": department}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def member_role(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change a member's role."""
    department = department_for(person(request), slug, Right.MEMBERS_MANAGE)
    membership = get_object_or_404(department.memberships.select_related("user"), pk=pk)
    back = reverse("member-list", args=[slug])
    form = RoleForm(request.POST or None, initial={"role": membership.role})
    if form.is_valid():
        role = Role(form.cleaned_data["role"])
        membership_set(department=department, user=membership.user, role=role, by=person(request))
        messages.success(request, f"{membership.user} is now {role.label.lower()} in {department.name}.")
        return go_to(request, back)
    context = {"department": department, "membership": membership, "is_last_owner": _is_last_owner(membership)}
    return ask(request, "tenants/member_role.html", context, back=back, form=form)


@require_http_methods(["GET", "POST"])
def member_removal(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Take a person out of a department."""
    department = department_for(person(request), slug, Right.MEMBERS_MANAGE)
    membership = get_object_or_404(department.memberships.select_related("user"), pk=pk)
    back = reverse("member-list", args=[slug])
    if request.method == "POST":
        membership_remove(membership=membership, by=person(request))
        messages.success(request, f"{membership.user} no longer belongs to {department.name}.")
        # Who removes themselves may not see the list any more.
        leaves = membership.user == request.user and not person(request).sees_every_department
        return go_to(request, reverse("department-list") if leaves else back)
    context = {"department": department, "membership": membership, "is_last_owner": _is_last_owner(membership)}
    return ask(request, "tenants/member_remove.html", context, back=back)


def _is_last_owner(membership: Membership) -> bool:
    owners = membership.department.memberships.filter(role=Role.OWNER)
    return membership.role == Role.OWNER and owners.count() == 1
