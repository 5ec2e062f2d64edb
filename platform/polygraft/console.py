"""What every page of the console shows around its content: where one may go, and where one is."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from polygraft.conf import config
from tenants.access import Right, may
from tenants.models import Role, User


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the side bar."""

    label: str
    icon: str
    url: str
    is_current: bool


def navigation(request: HttpRequest) -> dict[str, object]:
    """Context processor: `navigation`, the side bar's entries for this person, and `base_url` for snippets."""
    return {
        "navigation": SimpleLazyObject(lambda: _entries(request)),
        "base_url": config().base_url,
    }


def _entries(request: HttpRequest) -> list[Entry]:
    user = request.user
    if not isinstance(user, User):
        return []
    here = request.resolver_match.url_name if request.resolver_match else ""

    def entry(label: str, icon: str, route: str, *also: str) -> Entry:
        url = reverse(route)
        inside = url != "/" and request.path.startswith(url) and here != "try"
        return Entry(label, icon, url, is_current=here in (route, *also) or inside)

    roles = set(user.memberships.values_list("role", flat=True))
    entries = [
        entry("Overview", "layout-dashboard", "overview"),
        entry("Departments", "building", "department-list", "department-new"),
    ]
    if roles or may(user, Right.MODELS_TRY):
        entries.append(entry("Playground", "message-2", "playground", "try"))
    entries.append(entry("Base models", "seedling", "base-model-list"))
    if may(user, Right.PLATFORM_VIEW):
        entries.append(entry("Engines", "engine", "engine-list"))
        entries.append(entry("Limits", "gauge", "platform-limits"))
        entries.append(entry("Retention", "archive", "platform-retention"))
    if may(user, Right.PLATFORM_MANAGE):
        entries.append(entry("Users", "users", "user-list"))
    if Role.OWNER in roles or may(user, Right.AUDIT_VIEW):
        entries.append(entry("Audit", "history", "audit"))
    entries.append(entry("API", "api", "api-docs"))
    return entries
