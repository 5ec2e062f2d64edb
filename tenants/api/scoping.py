"""How the management API's views reach a department: through `tenants.access`, and nothing else."""

from typing import cast

from rest_framework.views import APIView

from tenants.access import Right, department_for, require
from tenants.models import Department, User


class PlatformView(APIView):
    """A view of platform-wide objects. `rights` maps an HTTP method to the right that it takes."""

    rights: dict[str, Right] = {}

    @property
    def person(self) -> User:
        """Who calls."""
        return cast(User, self.request.user)

    def initial(self, request, *args, **kwargs):  # type: ignore[no-untyped-def]  # DRF's own signature
        """Check the right before the method runs."""
        super().initial(request, *args, **kwargs)
        if right := self.rights.get(request.method):
            require(self.person, right)


class DepartmentView(PlatformView):
    """A view of one department's objects; `self.department` is the one in the URL."""

    department: Department

    def initial(self, request, *args, **kwargs):  # type: ignore[no-untyped-def]  # DRF's own signature
        """Find the department of the URL for this person, with the right that the method takes."""
        APIView.initial(self, request, *args, **kwargs)
        if right := self.rights.get(request.method):
            self.department = department_for(self.person, kwargs["slug"], right)
