"""On a crowded machine, threads do not wait for each other for a while; an undisturbed step ends the suspicion."""

import pytest

from serving.engines.llamacpp import crowding
from serving.engines.llamacpp.crowding import Crowding


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(crowding.time, "monotonic", lambda: now[0])
    return now


def test_an_undisturbed_step_is_no_crowd(clock: list[float]) -> None:
    crowd = Crowding()

    crowd.observe(0.010, 0.0095)

    assert not crowd.is_felt


def test_a_thread_that_was_pushed_aside_feels_the_crowd_for_a_while(clock: list[float]) -> None:
    crowd = Crowding()

    crowd.observe(0.010, 0.005)

    assert crowd.is_felt
    clock[0] += 0.3
    assert not crowd.is_felt


def test_a_step_now_and_then_that_was_pushed_aside_is_no_crowd(clock: list[float]) -> None:
    crowd = Crowding()

    for at in range(40):
        crowd.observe(0.010 if at % 8 else 0.020, 0.010)
        assert at == 0 or not crowd.is_felt
        clock[0] += 1


def test_one_step_that_took_twenty_times_as_long_is_a_crowd(clock: list[float]) -> None:
    crowd = Crowding()
    for _ in range(20):
        crowd.observe(0.010, 0.010)

    crowd.observe(0.200, 0.010)

    assert crowd.is_felt


def test_a_lasting_crowd_is_tried_less_and_less_often(clock: list[float]) -> None:
    crowd = Crowding()
    pauses = []
    for _ in range(8):
        crowd.observe(0.010, 0.005)
        begun = clock[0]
        while crowd.is_felt:
            clock[0] += 0.05
        pauses.append(round(clock[0] - begun, 1))

    assert pauses[1] > pauses[0]
    assert pauses[2] > pauses[1]
    assert pauses[-2] == pauses[-1] == pytest.approx(8.0, abs=0.1)


def test_a_step_that_took_seconds_is_not_tried_again_soon(clock: list[float]) -> None:
    crowd = Crowding()

    crowd.observe(3.0, 1.0)
    clock[0] += 50

    assert crowd.is_felt


def test_an_undisturbed_step_forgets_earlier_crowds(clock: list[float]) -> None:
    crowd = Crowding()
    for _ in range(5):
        crowd.observe(0.010, 0.005)
        clock[0] += 10
    for _ in range(2):
        crowd.observe(0.010, 0.010)

    crowd.observe(0.030, 0.010)
    clock[0] += 0.7

    assert not crowd.is_felt
