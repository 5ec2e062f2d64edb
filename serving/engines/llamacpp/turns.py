"""Virtual token counters: whose turn it is, so that no department is served at another's cost."""

from collections import Counter
from collections.abc import Iterable, Mapping

# An output token needs a pass over the weights, of which a prompt's chunk needs one for all of its tokens.
PROMPT_WEIGHT, OUTPUT_WEIGHT = 1, 4
# How far a department may be ahead of one of greater weight that is computed beside it.
_LEAD = 16 * OUTPUT_WEIGHT


class FairTurns:
    """How much each department has been served (Sheng et al., "Fairness in Serving LLMs", OSDI 2024).

    A department's counter grows by the tokens it is served, divided by its weight; the lowest counter goes first.
    One that comes back is lifted to the lowest of those present: what it did not ask for is not owed to it.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        """`weights` holds the departments whose weight is not 1."""
        self._weights = weights
        self._present: Counter[str] = Counter()
        self._served: dict[str, float] = {}

    def arrive(self, department: str) -> None:
        """One more generation of a department waits or runs."""
        if not self._present[department]:
            lowest = min((self._served[one] for one in self._present if self._present[one]), default=0.0)
            self._served[department] = max(self._served.get(department, 0.0), lowest)
        self._present[department] += 1

    def leave(self, department: str) -> None:
        """A generation of a department has ended."""
        self._present[department] -= 1
        if not self._present[department]:
            del self._present[department]
            self._forget_the_settled()

    def charge(self, department: str, *, prompt: int = 0, output: int = 0) -> None:
        """Counts tokens that a department has been served."""
        cost = PROMPT_WEIGHT * prompt + OUTPUT_WEIGHT * output
        self._served[department] += cost / self._weights.get(department, 1.0)

    def served(self, department: str, *, prompt: int = 0) -> float:
        """A present department's counter, as it will be after `prompt` more prompt tokens."""
        return self._served[department] + PROMPT_WEIGHT * prompt / self._weights.get(department, 1.0)

    def must_yield(self, department: str, others: Iterable[str]) -> bool:
        """Whether a department is so far ahead of one of greater weight that it must not run beside it.

        Departments of equal weight need no such bound: side by side, each has as many threads as the other.
        """
        weight, served = self._weights.get(department, 1.0), self._served[department]
        return any(self._weights.get(one, 1.0) > weight and served - self._served[one] > _LEAD for one in others)

    def _forget_the_settled(self) -> None:
        """Drops absent departments that would be lifted anyway, and everybody once nobody is left to be fair to."""
        lowest = min((self._served[one] for one in self._present), default=float("inf"))
        self._served = {one: served for one, served in self._served.items() if one in self._present or served > lowest}
