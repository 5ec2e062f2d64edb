"""Template tags that every page uses: icons, form fields, states, times and sortable columns."""

import json
import re
from datetime import datetime
from functools import cache
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, Select, Textarea
from django.template import TemplateSyntaxError
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from polygraft.conf import ROOT

register = template.Library()

_ICONS = ROOT / "node_modules" / "@tabler" / "icons" / "icons" / "outline"
_DRAWING = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_FRAME = '<path stroke="none" d="M0 0h24v24H0z" fill="none" />'

# State of a version, key, engine or request → Tabler's colour, and whether something is in motion.
_STATES = {
    "uploaded": ("azure", True),
    "validating": ("azure", True),
    "ready": ("green", False),
    "rejected": ("red", False),
    "archived": ("secondary", False),
    "deleted": ("secondary", False),
    "queued": ("azure", True),
    "running": ("azure", True),
    "finished": ("green", False),
    "done": ("green", False),
    "cancelled": ("secondary", False),
    "passed": ("green", False),
    "active": ("green", False),
    "expiring": ("yellow", True),
    "expired": ("secondary", False),
    "revoked": ("secondary", False),
    "starting": ("azure", True),
    "draining": ("yellow", True),
    "stopped": ("secondary", False),
    "failed": ("red", False),
    "gone": ("red", False),
    "live": ("green", False),
    "inactive": ("secondary", False),
}


_UNITS = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


@register.simple_tag
@cache
def icon(name: str, classes: str = "") -> SafeString:
    """The drawing of this name from @tabler/icons, inlined; decorative, so screen readers skip it."""
    try:
        drawing = _DRAWING.search((_ICONS / f"{name}.svg").read_text())
    except OSError as error:
        raise TemplateSyntaxError(
            f"No icon “{name}” in {_ICONS}. Is the name right, and has `npm install` run?"
        ) from error
    assert drawing is not None  # noqa: S101  # every file of the package is one <svg>
    inner = " ".join(drawing[1].replace(_FRAME, "").split())
    return format_html(
        '<svg class="icon {}" width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">'
        "{}</svg>",
        classes,
        mark_safe(inner),  # noqa: S308  # from the package, not from a user
    )


@register.inclusion_tag("parts/field.html")
def field(bound: BoundField, label: str = "", **attrs: Any) -> dict[str, Any]:
    """A form's field with its label, help and errors; extra arguments become attributes, `_` standing for `-`."""
    widget = bound.field.widget
    is_check = isinstance(widget, CheckboxInput)
    classes = "form-check-input" if is_check else "form-select" if isinstance(widget, Select) else "form-control"
    if bound.errors:
        classes += " is-invalid"
    attributes = {name.replace("_", "-"): value for name, value in attrs.items()}
    if bound.form.errors:
        # Of a form with mistakes, the first wrong field has the focus.
        attributes["autofocus"] = next(iter(bound.form.errors)) == bound.name
    if isinstance(widget, Textarea):
        attributes.setdefault("rows", 3)
    return {
        "field": bound,
        "label": label or bound.label,
        "control": bound.as_widget(attrs={"class": classes, **attributes}),
        "is_check": is_check,
    }


@register.simple_tag
def state(name: str, label: str = "") -> SafeString:
    """A state as a coloured word with a dot, which pulses while the state is passing."""
    colour, moves = _STATES.get(name, ("secondary", False))
    return format_html(
        '<span class="status status-{}"><span class="status-dot{}"></span>{}</span>',
        colour,
        " status-dot-animated" if moves else "",
        label or name,
    )


@register.simple_tag
def ago(moment: datetime | None, otherwise: str = "never") -> SafeString:
    """How long ago, or how soon; the exact moment shows on hovering, in the reader's own time zone."""
    if moment is None:
        return format_html('<span class="text-secondary">{}</span>', otherwise)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        _distance((timezone.now() - moment).total_seconds()),
    )


def _distance(seconds: float) -> str:
    for length, unit in _UNITS:
        if abs(seconds) >= length:
            count = int(abs(seconds) // length)
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now" if seconds >= 0 else "in a moment"


@register.inclusion_tag("parts/column.html", takes_context=True)
def column(context: template.Context, label: str, key: str, classes: str = "") -> dict[str, Any]:
    """A table's head cell that sorts by this key, and the other way round on a second click."""
    sort: str = context["listing"].sort
    is_current = sort.removeprefix("-") == key
    is_descending = sort.startswith("-")
    return {
        "request": context["request"],
        "label": label,
        "classes": classes,
        "is_current": is_current,
        "is_descending": is_descending,
        "next_sort": f"-{key}" if is_current and not is_descending else key,
    }


@register.filter
def plain(value: object) -> str:
    """A JSON value for people: words as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


@register.filter
def short(digest: str) -> str:
    """The first twelve characters of a digest, which people can compare."""
    return digest[:12]


@register.filter
def compact(number: int | None) -> str:
    """A count for people: 950, 1.2k, 3.4M."""
    value = float(number or 0)
    for limit, divisor, unit in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if value < limit:
            return f"{value / divisor:.1f}".rstrip("0").rstrip(".") + unit
    return f"{value / 1e9:.1f}".rstrip("0").rstrip(".") + "G"
