"""A replayed day of forty departments: nobody flaps, nobody starves, and GPUs rest."""

from dataclasses import replace

import pytest

from bench import promotion
from bench.promotion import MOST_MOVES, THRESHOLDS, day, replay


def test_a_day_of_traffic_neither_flaps_nor_starves_and_saves_gpu_hours() -> None:
    found = day()
    assert found.complaints() == []
    assert found.gpu_hours < 0.7 * found.all_on_vllm_gpu_hours
    # Both kinds of engines have work: it is no trick of leaving everybody on one.
    assert 0.5 < found.on_vllm_share < 0.95


def test_the_replay_would_see_flapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "THRESHOLDS", replace(THRESHOLDS, quiet_seconds=60.0))
    _, departments, _ = replay()
    assert max(one.moves for one in departments) > MOST_MOVES
