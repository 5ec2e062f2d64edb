"""What an engine should hold, by policy and by what is asked of it."""

from serving.fleet.residency import Wish
from serving.models import Residency


def wish(residency: Residency, *, slots: int = 2, names: str = "abcd", staying: str = "") -> Wish:
    versions = {name: [number] for number, name in enumerate(names)}
    return Wish(residency, slots, versions, {}, frozenset(staying))


def test_eager_wants_everything() -> None:
    assert wish(Residency.EAGER).names(asked={}, resident=set()) == ["a", "b", "c", "d"]


def test_on_demand_wants_those_last_asked_for() -> None:
    assert wish(Residency.ON_DEMAND).names(asked={"a": 1, "b": 3, "c": 2}, resident={"a"}) == ["b", "c"]


def test_a_resident_stays_while_there_is_room() -> None:
    assert wish(Residency.ON_DEMAND).names(asked={"b": 1}, resident={"a"}) == ["b", "a"]


def test_what_is_not_wanted_any_more_leaves_however_often_it_is_asked_for() -> None:
    assert wish(Residency.ON_DEMAND).names(asked={"z": 9, "a": 1}, resident={"z"}) == ["a"]


def test_what_stays_takes_its_slots_first() -> None:
    asked = {"a": 1.0, "b": 2.0}
    assert wish(Residency.PINNED, staying="d").names(asked=asked, resident=set()) == ["d", "b"]
    assert wish(Residency.PINNED, staying="bcd").names(asked=asked, resident=set()) == ["b", "c", "d"]
