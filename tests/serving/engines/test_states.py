"""The life of an engine: what may follow what, and that nothing else can."""

import pytest
from django.db.models import QuerySet

from cast import Cast
from serving.models import Engine, EngineState
from serving.models.engine import LIVING_STATES, TRANSITIONS

LEGAL = {
    ("starting", "ready"),
    ("starting", "draining"),
    ("starting", "stopped"),
    ("starting", "failed"),
    ("ready", "draining"),
    ("ready", "stopped"),
    ("ready", "failed"),
    ("draining", "stopped"),
    ("draining", "failed"),
}


def test_the_table_is_the_one_that_was_agreed_on() -> None:
    assert {(before, after) for before, followers in TRANSITIONS.items() for after in followers} == LEGAL
    assert set(TRANSITIONS) == set(EngineState)
    assert set(LIVING_STATES) == {"starting", "ready", "draining"}


@pytest.mark.parametrize("before", EngineState)
@pytest.mark.parametrize("after", EngineState)
def test_an_engine_moves_as_the_table_says_and_not_otherwise(
    cast: Cast, before: EngineState, after: EngineState
) -> None:
    QuerySet(Engine).filter(pk=cast.engine.pk).update(state=before)
    moved = Engine.objects.filter(pk=cast.engine.pk).update(state=after, error="why")
    cast.engine.refresh_from_db()
    is_legal = (before.value, after.value) in LEGAL
    assert moved == is_legal
    assert cast.engine.state == (after if is_legal else before)
    assert cast.engine.error == ("why" if is_legal else "")


def test_an_old_copy_of_an_engine_cannot_write_its_state_over_a_newer_one(cast: Cast) -> None:
    with pytest.raises(ValueError, match="moves by"):
        cast.engine.save()
    cast.engine.address = "127.0.0.1:1"
    cast.engine.save(update_fields=["address"])
