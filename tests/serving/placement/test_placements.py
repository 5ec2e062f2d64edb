"""Which kind of engine answers first, for departments and adapters."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from cast import Cast
from serving.placement.placements import adapter_place, department_place, department_tier
from serving.placement.tiers import Tier
from tenants.models import AuditEvent


def test_everything_starts_lightweight_and_automatic(cast: Cast) -> None:
    assert cast.support.placement == "auto"
    assert (cast.adapter.tier, department_tier(cast.support.pk)) == (Tier.LIGHTWEIGHT, Tier.LIGHTWEIGHT)


def test_what_was_promoted_is_standard_only_as_long_as_its_placement_is_automatic(cast: Cast) -> None:
    cast.adapter.promoted_at = timezone.now()
    assert cast.adapter.tier == Tier.STANDARD
    adapter_place(adapter=cast.adapter, placement="lightweight", by=None)
    assert cast.adapter.tier == Tier.LIGHTWEIGHT


def test_an_adapter_follows_its_department_unless_it_says_otherwise(cast: Cast) -> None:
    department_place(department=cast.adapter.department, placement="standard", by=cast.people["ada"])
    assert (cast.adapter.tier, department_tier(cast.support.pk)) == (Tier.STANDARD, Tier.STANDARD)
    adapter_place(adapter=cast.adapter, placement="lightweight", by=cast.people["ada"])
    assert (cast.adapter.tier, department_tier(cast.support.pk)) == (Tier.LIGHTWEIGHT, Tier.STANDARD)
    assert [
        (event.action, event.details["after"]) for event in AuditEvent.objects.filter(action__endswith=".place")
    ] == [
        ("adapter.place", "lightweight"),
        ("department.place", "standard"),
    ]


def test_a_placement_that_there_is_not_is_refused(cast: Cast) -> None:
    for place in (
        lambda: department_place(department=cast.support, placement="", by=None),
        lambda: adapter_place(adapter=cast.adapter, placement="gpu", by=None),
    ):
        with pytest.raises(ValidationError, match="lightweight, standard, auto"):
            place()
