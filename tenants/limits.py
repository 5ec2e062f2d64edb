"""What a level may use: how many requests, tokens and how much money, and for which model.

Limits are kept as JSON objects, `{"requests_per_minute": 600, "models": {"support-bot": {"tokens_per_day": 100000}}}`;
a limit that is not there does not limit. Money is a string of decimals, exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError

KINDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "tokens_per_day",
    "tokens_per_month",
    "money_per_month",
)
MODELS = "models"
_MOST = 10**12
_MOST_MODELS = 100
_LONGEST_NAME = 130


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one level; None: not limited. Days and months are UTC's; money is in the platform's currency."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    money_per_month: Decimal | None = None

    def __iter__(self) -> Iterator[tuple[str, int | Decimal]]:
        """The limits that there are, by kind."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value


@dataclass(frozen=True, slots=True)
class Level:
    """One level of limits that a grant's requests count against.

    `key` is its identity among all levels, such as `department:5`; `name` says it to callers, such as `department`.
    `model` is the model's name for limits of one model, "" for limits of all requests.
    """

    key: str
    name: str
    limits: Limits
    model: str = ""


def limits_checked(given: Any, *, with_models: bool = True) -> dict[str, Any]:
    """The JSON object that is kept for limits that somebody has written; null takes a limit away.

    Raises:
        ValidationError: with a dictionary from a limit's name, `models.support-bot.tokens_per_day` in full, to what
            is wrong with it.
    """
    problems: dict[str, str] = {}
    kept = _checked(given, "", problems, with_models=with_models)
    if problems:
        raise ValidationError(problems)
    return kept


def limits_of(kept: dict[str, Any]) -> Limits:
    """The limits in a JSON object, without those for single models."""
    values = {kind: kept[kind] for kind in KINDS if kind in kept}
    if "money_per_month" in values:
        values["money_per_month"] = Decimal(values["money_per_month"])
    return Limits(**values)


def levels_of(key: str, name: str, kept: dict[str, Any]) -> Iterator[Level]:
    """The levels in a JSON object: one for all requests, one for each model that has limits of its own."""
    limits = limits_of(kept)
    if any(limits):
        yield Level(key, name, limits)
    for model, own in kept.get(MODELS, {}).items():
        if own:
            yield Level(f"{key}/{model}", name, limits_of(own), model)


def _checked(given: Any, where: str, problems: dict[str, str], *, with_models: bool) -> dict[str, Any]:
    if not isinstance(given, dict):
        problems[where.rstrip(".") or "limits"] = 'Give an object, such as {"requests_per_minute": 600}.'
        return {}
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name == MODELS and with_models:
            if models := _checked_models(value or {}, problems):
                kept[MODELS] = models
        elif name not in KINDS:
            known = [*KINDS, MODELS] if with_models else KINDS
            problems[where + str(name)[:100]] = f"There is no such limit. There are: {', '.join(known)}."
        elif value is not None:
            try:
                kept[name] = _money(value) if name == "money_per_month" else _number(value)
            except ValueError as error:
                problems[where + name] = str(error)
    return kept


def _checked_models(given: Any, problems: dict[str, str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        problems[MODELS] = 'Give an object from models to their limits, such as {"support-bot": {"tokens_per_day": 9}}.'
        return {}
    if len(given) > _MOST_MODELS:
        problems[MODELS] = f"At most {_MOST_MODELS} models can have limits of their own."
        return {}
    kept = {}
    for model, own in given.items():
        if not model or len(model) > _LONGEST_NAME or ":" in model:
            problems[f"{MODELS}.{model[:100]}"] = (
                f"Give a model's name without a version, at most {_LONGEST_NAME} characters long."
            )
        elif own and (checked := _checked(own, f"{MODELS}.{model}.", problems, with_models=False)):
            kept[model] = checked
    return kept


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError(f"Give a whole number from 1 to {_MOST}, or null for no limit.")
    return value


def _money(value: Any) -> str:
    message = 'Give an amount of money above 0, such as 250 or "99.50", or null for no limit.'
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(message)
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(message) from None
    if not amount.is_finite() or not 0 < amount <= _MOST or amount != round(amount, 6):
        raise ValueError(message)
    return f"{amount.normalize():f}"
