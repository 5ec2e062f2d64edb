"""Parts of a page that refresh themselves: rendered, and sent when they differ from what the browser shows."""

import zlib
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

_SEEN = "seen"


@dataclass(frozen=True, slots=True)
class LiveFragment:
    """A rendered part; `url` asks for it again, every `seconds`, or never when None. Shown by `parts/live.html`.

    `name` is its id, for pages with several parts.
    """

    html: SafeString
    url: str
    seconds: int | None
    name: str = "live"


def live_fragment(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    seconds: int | None,
    path: str = "",
    name: str = "live",
) -> LiveFragment:
    """Render a part of a page. The template must hold nothing that differs every time.

    Args:
        path: where the part is asked for again; empty: where this request went.
    """
    html = render_to_string(template, context, request)
    asked = request.GET.copy()
    asked[_SEEN] = f"{zlib.crc32(html.encode()):x}"
    return LiveFragment(html=html, url=f"{path or request.path}?{asked.urlencode()}", seconds=seconds, name=name)


def asks_for_fragment(request: HttpRequest) -> bool:
    """Whether this request is a part of a page refreshing itself."""
    return _SEEN in request.GET


def fragment_answer(request: HttpRequest, live: LiveFragment) -> HttpResponse:
    """The part alone, or 204 when the browser shows it already."""
    if live.seconds is not None and live.url == request.get_full_path():
        return HttpResponse(status=204)
    return render(request, "parts/live.html", {"live": live})
