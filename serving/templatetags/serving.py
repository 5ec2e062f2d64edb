"""Lets pages of other apps name real models and show programs that call them."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from django import template

from polygraft.conf import config
from polygraft.snippets import PLACEHOLDER_KEY, Snippet, snippets
from serving.capacity.plan import gib as in_gib
from serving.console.callables import CallableModel, callables_of, example_of
from serving.engines.kinds import KIND_NAMES, EngineKind
from serving.engines.logs import headline as in_short
from tenants.models import Department

register = template.Library()


@register.simple_tag
def callable_models(department: Department) -> list[CallableModel]:
    """What this department may call."""
    return callables_of(department)


@register.simple_tag
def example_model(department: Department, allowed: Collection[str] = ()) -> str:
    """A model's name for an example: one that the key may use, an adapter rather than a base model; or ""."""
    return example_of(callables_of(department), allowed)


@register.simple_tag
def snippets_for(model: str, key: str = PLACEHOLDER_KEY) -> list[Snippet]:
    """Programs that call this model."""
    return snippets(model=model, key=key)


@register.simple_tag
def currency() -> str:
    """The currency of prices and costs, as three letters."""
    return config().currency


@register.filter
def price(amount: Decimal) -> str:
    """A price for people, without the zeros that databases add."""
    return f"{amount.normalize():f}"


@register.filter
def money(amount: Decimal) -> str:
    """What something cost, for people: cents, and more digits where it is less than one."""
    return f"{amount:,.2f}" if amount >= Decimal("0.01") or not amount else f"{amount:.6f}".rstrip("0")


@register.filter
def rollout_words(weights: dict[int, int]) -> str:
    """What a bare name means, for people: "version 3", or "90 % version 3, 10 % version 4"."""
    if len(weights) == 1:
        return f"version {next(iter(weights))}"
    return ", ".join(f"{share} % version {number}" for number, share in sorted(weights.items()))


@register.filter
def items_of(mapping: Any) -> list[tuple[str, Any]]:
    """A mapping's pairs, sorted."""
    return sorted(mapping.items()) if isinstance(mapping, dict) else []


@register.filter
def percent(share: float | None) -> str:
    """A share from 0 to 1 for people, "–" where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


@register.filter
def milliseconds(time: float | None) -> str:
    """A time for people: 850 ms, 1.2 s, "–" where there is none."""
    if time is None:
        return "–"
    return f"{time:.0f} ms" if time < 1000 else f"{time / 1000:.1f} s"


@register.filter
def kind_name(kind: str) -> str:
    """A kind of engine as people call it."""
    return KIND_NAMES[EngineKind(kind)]


@register.filter
def headline(error: str) -> str:
    """What an engine's error says in short."""
    return in_short(error)


@register.filter
def gib(size: int) -> str:
    """A size of memory in GiB or MiB, as events tell it, too."""
    return in_gib(size)
