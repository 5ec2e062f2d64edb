"""Reckons the shares of a rollout when one version's changes."""

from collections.abc import Mapping


def shares_with(weights: Mapping[int, int], number: int, share: int) -> dict[int, int]:
    """The shares in which one version has so many percent: the largest other one gives or takes the difference."""
    shares = {other: of_other for other, of_other in weights.items() if other != number}
    excess = sum(shares.values()) + share - 100
    for other in sorted(shares, key=lambda other: (-shares[other], other)):
        taken = min(excess, shares[other])
        shares[other] -= taken
        excess -= taken
        if not shares[other]:
            del shares[other]
        if not excess:
            break
    return {**shares, number: share}
