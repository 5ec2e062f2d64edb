"""Who is promoted to vLLM, and who goes back."""

from serving.placement.tiers import Tier
from serving.scaling.promotion import Standing, Thresholds, Traffic, promotion

THRESHOLDS = Thresholds(concurrency=2, tokens_per_minute=3000, quiet_seconds=7200)
LIGHT, HEAVY = Standing(Tier.LIGHTWEIGHT), Standing(Tier.STANDARD, moved_at=0)
BUSY = Traffic(concurrency=3, tokens_per_minute=500)
QUIET = Traffic(concurrency=0.1, tokens_per_minute=50)


def test_concurrency_or_tokens_promote_when_vllm_has_room() -> None:
    for traffic, clause in ((BUSY, "3.0 requests at once"), (Traffic(0.5, 4000), "4000 tokens a minute")):
        move = promotion(LIGHT, traffic, THRESHOLDS, has_room=True, now=100)
        assert move.standing == Standing(Tier.STANDARD, moved_at=100)
        assert clause in move.reason


def test_without_room_it_waits_and_says_so() -> None:
    move = promotion(LIGHT, BUSY, THRESHOLDS, has_room=False, now=100)
    assert (move.standing, move.waits) == (LIGHT, True)


def test_little_traffic_stays_where_it_is() -> None:
    assert promotion(LIGHT, Traffic(1.9, 2999), THRESHOLDS, has_room=True, now=0).standing == LIGHT


def test_quiet_hours_demote_and_one_busy_moment_starts_them_anew() -> None:
    standing = HEAVY
    for now in range(0, 7200, 300):
        standing = promotion(standing, QUIET, THRESHOLDS, has_room=True, now=now).standing
    assert (standing.tier, standing.quiet_since) == (Tier.STANDARD, 0)
    # Half of what promotes is neither quiet nor busy.
    standing = promotion(standing, Traffic(1, 0), THRESHOLDS, has_room=True, now=7200).standing
    assert (standing.tier, standing.quiet_since) == (Tier.STANDARD, None)
    for now in range(7500, 14701, 300):
        move = promotion(standing, QUIET, THRESHOLDS, has_room=True, now=now)
        standing = move.standing
    assert standing == Standing(Tier.LIGHTWEIGHT, moved_at=14700)
    assert move.reason == "it has been quiet for 2.0 hours"


def test_who_has_just_come_back_stays_a_while() -> None:
    back = Standing(Tier.LIGHTWEIGHT, moved_at=1000)
    assert promotion(back, BUSY, THRESHOLDS, has_room=True, now=1599).standing == back
    assert promotion(back, BUSY, THRESHOLDS, has_room=True, now=1600).standing.tier is Tier.STANDARD
