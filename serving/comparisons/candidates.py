"""The candidates of a comparison: pinned versions of one adapter, and its base model."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError

from serving.models import Adapter, BaseModel, VersionState
from serving.models.comparison import BASE

MOST = 5


def version_number(candidate: str) -> int | None:
    """The number of a pinned version, `support-bot:3`; None for `base`."""
    _, colon, number = candidate.rpartition(":")
    return int(number) if colon else None


def pinned(adapter: Adapter, number: int) -> str:
    """How a version is called among candidates, as everywhere: `support-bot:3`."""
    return f"{adapter.name}:{number}"


def called(adapter: Adapter, candidate: str) -> str:
    """The model's name in requests."""
    return adapter.base_model.name if candidate == BASE else candidate


def candidates_checked(adapter: Adapter, candidates: Sequence[str]) -> list[str]:
    """The candidates as they are.

    Raises:
        ValidationError: under `candidates`, everything that is wrong with them.
    """
    ready = {pinned(adapter, number) for number in _ready(adapter)}
    problems = []
    for candidate in dict.fromkeys(candidates):
        if candidates.count(candidate) > 1:
            problems.append(f"{candidate} is there twice.")
        if candidate == BASE:
            problems += _base_problems(adapter)
        elif candidate not in ready:
            problems.append(
                f"{candidate[:130]} is no ready version of {adapter.name}. Write {adapter.name}:3, or base."
            )
    if not 2 <= len(candidates) <= MOST:
        problems.append(f"Choose 2 to {MOST} candidates; {len(candidates)} are chosen.")
    if problems:
        raise ValidationError({"candidates": problems})
    return list(candidates)


def candidates_of(adapter: Adapter) -> list[str]:
    """What can be compared, the newest version first, the base model last."""
    versions = [pinned(adapter, number) for number in _ready(adapter)]
    return versions if _base_problems(adapter) else [*versions, BASE]


def _ready(adapter: Adapter) -> list[int]:
    ready = adapter.versions.filter(state=VersionState.READY).exclude(digest="")
    return list(ready.order_by("-number").values_list("number", flat=True))


def _base_problems(adapter: Adapter) -> list[str]:
    name = adapter.base_model.name
    if not BaseModel.objects.granted_to(adapter.department_id).filter(pk=adapter.base_model_id).exists():
        return [f"The base model {name} is not open to {adapter.department}."]
    if Adapter.objects.alive().filter(department=adapter.department_id, name=name).exists():
        return [f"The department's own adapter {name} has the base model's name, so that base cannot be asked."]
    return []
