"""Chooses the context in which a waiting generation joins the others of its adapter."""

from collections.abc import Iterable

from .contexts import Context
from .generation import Adapter, Generation
from .pool import ContextPool

# A prompt waits for another that is just being computed if it can then reuse so many tokens more.
_WORTH_WAITING_FOR = 32
# An adapter spreads over another context only from so many sequences on: a batch reads the weights once for all.
_WORTH_SPREADING = 4
# Another sequence in a step takes the others so much time as computing so many prompt tokens does.
_COST_OF_COMPANY = 32


class Places:
    """The choices of one round of admissions."""

    def __init__(self, pool: ContextPool, lanes: int) -> None:
        """`lanes` is how many contexts can be computed side by side."""
        self._pool = pool
        self._lanes = lanes
        self._full: set[Adapter] = set()
        self._closed: set[Context] = set()

    def find(self, generation: Generation) -> Context | None:
        """A context that can take a generation in now; None lets it wait."""
        adapter = generation.adapter
        if adapter in self._full:
            return None
        own = self._pool.of(adapter)
        open_ones = [one for one in own if one.slots.has_room and one not in self._closed]
        if _is_worth_waiting(generation, own):
            return None
        best = min(open_ones, key=lambda one: self._cost(one, generation, own), default=None)
        if best is None or self._should_spread(own):
            best = self._lend(adapter, own) or best
        if best is None:
            self._full.add(adapter)
            return None
        return None if best.is_computing else best

    def _lend(self, adapter: Adapter, own: list[Context]) -> Context | None:
        if own:
            return self._pool.lend(adapter, evict=False) if self._may_spread(own) else None
        context = self._pool.lend(adapter)
        if context is None and not self._pool.is_growing:
            # The emptiest context takes nobody in until it is idle and can change hands:
            # otherwise an adapter without one could wait for ever.
            self._closed.add(min(self._pool.contexts, key=lambda one: len(one.sequences)))
        return context

    def _should_spread(self, own: list[Context]) -> bool:
        crowded = all(len(one.sequences) >= _WORTH_SPREADING for one in own)
        return crowded and self._may_spread(own)

    def _may_spread(self, own: list[Context]) -> bool:
        # One context stays for whoever comes next.
        return len(own) < self._lanes and self._is_lane_free and self._pool.spare > 1

    @property
    def _is_lane_free(self) -> bool:
        return sum(1 for one in self._pool.contexts if one.sequences) < self._lanes

    def _cost(self, context: Context, generation: Generation, own: Iterable[Context]) -> tuple[int, int]:
        """What joining a context takes, in prompt tokens; among equals the emptiest is best."""
        company = len(context.sequences)
        if not company and any(one.sequences for one in own):
            # Alone in a context, it shares its steps with nobody; that pays if they are computed beside the others.
            # One less, so that some cached tokens more there do not make it the fifth in another.
            company = _WORTH_SPREADING - 1 if self._is_lane_free else context.slots.count
        uncomputed = len(generation.prompt) - context.cached(generation)
        return uncomputed + _COST_OF_COMPANY * company, len(context.sequences)


def _is_worth_waiting(generation: Generation, own: list[Context]) -> bool:
    coming = max((one.coming(generation) for one in own), default=0)
    return coming >= _WORTH_WAITING_FOR and coming - max(one.cached(generation) for one in own) >= _WORTH_WAITING_FOR
