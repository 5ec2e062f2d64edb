"""What is cached is found by prompts that begin alike, and by nobody else."""

import random

import pytest

from serving.engines.llamacpp.slots import Place, Slot, Slots, shared_length


def fill(slots: Slots, salt: str, tokens: list[int]) -> Slot:
    """Has a finished generation leave these tokens."""
    slot = slots.place(salt, [*tokens, 0]).slot
    slot.tokens = list(tokens)
    slots.release(slot)
    return slot


def test_a_next_turn_goes_on_in_its_slot() -> None:
    slots = Slots(3, reuse=True)
    first = fill(slots, "s", [1, 2, 3, 4])
    fill(slots, "s", [9, 9, 9])

    assert slots.place("s", [1, 2, 3, 4, 5, 6]) == Place(first, first, 4)


def test_the_last_token_is_always_computed() -> None:
    slots = Slots(1, reuse=True)
    slot = fill(slots, "s", [1, 2, 3])

    assert slots.place("s", [1, 2, 3]) == Place(slot, slot, 2)


def test_salts_never_meet() -> None:
    slots = Slots(2, reuse=True)
    fill(slots, "ours", [1, 2, 3])

    assert slots.cached("theirs", [1, 2, 3, 4]) == 0
    assert slots.place("theirs", [1, 2, 3, 4]).reused == 0
    assert slots.cached("ours", [1, 2, 3, 4]) == 3


def test_a_slot_taken_for_another_salt_is_no_longer_the_first_ones() -> None:
    slots = Slots(1, reuse=True)
    slot = fill(slots, "ours", [1, 2, 3])

    taken = slots.place("theirs", [1, 2, 3, 4])
    taken.slot.tokens = []

    assert (taken.slot, taken.reused) == (slot, 0)
    assert slots.cached("ours", [1, 2, 3, 4]) == 0


def test_a_running_sequence_is_copied_from_never_taken() -> None:
    slots = Slots(2, reuse=True)
    prompt = list(range(20))
    running = slots.place("s", prompt).slot
    running.tokens = list(prompt)

    place = slots.place("s", [*prompt, 500])

    assert place.slot is not running
    assert (place.source, place.reused) == (running, 20)


def test_a_conversation_is_kept_when_another_shares_only_its_start() -> None:
    slots = Slots(2, reuse=True)
    long = fill(slots, "s", list(range(100)))
    fill(slots, "s", [])

    place = slots.place("s", [*range(20), 500])

    assert place.slot is not long
    assert (place.source, place.reused) == (long, 20)


def test_what_is_computed_faster_than_copied_is_computed() -> None:
    slots = Slots(2, reuse=True)
    fill(slots, "s", list(range(100)))

    place = slots.place("s", [0, 1, 2, 500])

    assert place == Place(place.slot, place.slot, 0)
    assert place.slot.tokens == []


def test_the_slot_not_used_for_longest_goes_first() -> None:
    slots = Slots(3, reuse=True)
    old, newer, newest = (fill(slots, salt, [1]) for salt in "abc")

    assert [slots.place(salt, [7]).slot for salt in "def"] == [old, newer, newest]
    assert not slots.has_room


def test_without_reuse_nothing_is_found() -> None:
    slots = Slots(2, reuse=False)
    fill(slots, "s", [1, 2, 3])

    assert slots.place("s", [1, 2, 3, 4]).reused == 0


def test_cleared_slots_hold_nothing() -> None:
    slots = Slots(2, reuse=True)
    fill(slots, "s", [1, 2, 3])

    slots.clear()

    assert slots.cached("s", [1, 2, 3]) == 0


def test_only_taken_slots_are_in_use() -> None:
    slots = Slots(2, reuse=True)
    place = slots.place("s", [1, 2, 3])
    place.slot.tokens = [1, 2]
    used = slots.used_tokens

    slots.release(place.slot)

    assert (used, slots.used_tokens) == (2, 0)


@pytest.mark.parametrize("seed", range(20))
def test_shared_length_is_what_a_loop_would_count(seed: int) -> None:
    draw = random.Random(seed)
    one = [draw.randrange(3) for _ in range(draw.randrange(30))]
    other = [*one[: draw.randrange(30)], *(draw.randrange(3) for _ in range(draw.randrange(9)))]
    counted = 0
    while counted < min(len(one), len(other)) and one[counted] == other[counted]:
        counted += 1

    assert shared_length(one, other) == counted
