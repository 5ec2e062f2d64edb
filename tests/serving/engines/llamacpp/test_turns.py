"""Turns are fair by tokens served, weighted, and never kept for somebody who is not there."""

from serving.engines.llamacpp.turns import OUTPUT_WEIGHT, FairTurns


def served_in(turns: FairTurns, departments: list[str], rounds: int) -> dict[str, int]:
    """Output tokens that each gets if the lowest counter is served every time."""
    count = dict.fromkeys(departments, 0)
    for _ in range(rounds):
        next_one = min(departments, key=turns.served)
        turns.charge(next_one, output=1)
        count[next_one] += 1
    return count


def test_departments_are_served_alike() -> None:
    turns = FairTurns({})
    for department in "abc":
        turns.arrive(department)
    turns.charge("a", prompt=30 * OUTPUT_WEIGHT)

    assert served_in(turns, ["a", "b", "c"], 90) == {"a": 10, "b": 40, "c": 40}


def test_a_weight_is_a_share() -> None:
    turns = FairTurns({"a": 3.0})
    turns.arrive("a")
    turns.arrive("b")

    assert served_in(turns, ["a", "b"], 80) == {"a": 60, "b": 20}


def test_who_was_away_is_owed_nothing() -> None:
    turns = FairTurns({})
    turns.arrive("there")
    turns.charge("there", output=1000)

    turns.arrive("back")

    assert served_in(turns, ["there", "back"], 20) == {"there": 10, "back": 10}


def test_leaving_and_coming_back_wins_nothing() -> None:
    turns = FairTurns({})
    for department in ("patient", "greedy"):
        turns.arrive(department)
    turns.charge("greedy", output=50)
    turns.leave("greedy")
    turns.arrive("greedy")

    assert turns.served("greedy") > turns.served("patient")


def test_what_is_settled_is_forgotten() -> None:
    turns = FairTurns({})
    turns.arrive("a")
    turns.charge("a", output=50)
    turns.leave("a")

    turns.arrive("b")
    turns.arrive("a")

    assert turns.served("a") == turns.served("b")


def test_a_department_is_present_until_its_last_generation_has_ended() -> None:
    turns = FairTurns({})
    turns.arrive("a")
    turns.arrive("a")
    turns.charge("a", output=1)
    turns.leave("a")

    assert turns.served("a") == OUTPUT_WEIGHT


def test_who_is_far_ahead_of_a_heavier_department_must_yield_to_it() -> None:
    turns = FairTurns({"heavy": 4.0})
    for department in ("heavy", "light", "other"):
        turns.arrive(department)

    turns.charge("light", output=10)
    assert not turns.must_yield("light", ["heavy", "light", "other"])

    turns.charge("light", output=10)
    assert turns.must_yield("light", ["heavy", "light", "other"])
    assert not turns.must_yield("light", ["light", "other"])
    assert not turns.must_yield("heavy", ["heavy", "light", "other"])
