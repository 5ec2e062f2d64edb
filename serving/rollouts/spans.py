"""Divides all conversations among the versions of a rollout, so that a change moves as few of them as it can.

A conversation is a fixed point on a line from 0 to 100. Each version has one or more spans of that line, as long in all
as its share. When shares change, who loses gives up no more than it loses, and who gains takes just that: raising a
canary's share moves conversations to the canary, and none between the others.
"""

from collections.abc import Mapping, Sequence

Spans = list[tuple[int, int]]


def spans_by_number(weights: Mapping[int, int]) -> Spans:
    """One span for each version, in the order of their numbers."""
    return sorted(weights.items())


def spans_change(spans: Sequence[tuple[int, int]], weights: Mapping[int, int]) -> Spans:
    """The spans of new shares, made of those before.

    Args:
        spans: (version number, length) along the line; their lengths sum to what the shares sum to.
        weights: version number → its new share.
    """
    missing = dict(weights)
    kept: list[tuple[int | None, int]] = []
    for number, length in spans:
        keeps = min(length, missing.get(number, 0))
        if keeps:
            missing[number] -= keeps
            kept.append((number, keeps))
        if length > keeps:
            kept.append((None, length - keeps))
    gaining = [(number, share) for number, share in sorted(missing.items()) if share]
    changed: Spans = []
    for owner, length in kept:
        if owner is not None:
            _append(changed, owner, length)
            continue
        free = length
        while free:
            number, share = gaining[0]
            taken = min(free, share)
            _append(changed, number, taken)
            free -= taken
            gaining[0] = (number, share - taken)
            if taken == share:
                gaining.pop(0)
    return changed


def _append(spans: Spans, number: int, length: int) -> None:
    if spans and spans[-1][0] == number:
        spans[-1] = (number, spans[-1][1] + length)
    else:
        spans.append((number, length))
