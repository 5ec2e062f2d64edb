"""What every console page knows: the navigation that this person may use."""

from typing import Any

from django.http import HttpRequest


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Template context for the side bar."""
    return {}
