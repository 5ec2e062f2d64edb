"""Which tokens lie in a context's KV cache, and how much of a new prompt need not be computed again."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

# Copying moves a slot's whole cache, whatever is used of it; computing so few tokens takes no longer.
_WORTH_COPYING = 16


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence of a context. `tokens` are those in its cache, in order, computed for requests with `salt`."""

    id: int
    salt: str = ""
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    last_used: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A slot for a new prompt, whose first `reused` tokens are cached in `source` (which may be the slot itself)."""

    slot: Slot
    source: Slot
    reused: int


class Slots:
    """The slots of one context, all of one adapter.

    What a finished generation leaves in its slot stays until the slot is needed, for prompts that begin alike and
    carry the same salt: the caller must never mix adapters, and salts never meet here.
    """

    def __init__(self, count: int, *, reuse: bool) -> None:
        self._slots = [Slot(id) for id in range(count)]
        self._reuse = reuse
        self._clock = itertools.count(1)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._slots)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return any(not slot.busy for slot in self._slots)

    @property
    def used_tokens(self) -> int:
        """Tokens in the caches of slots that are taken; what others hold gives way to whoever needs the place."""
        return sum(len(slot.tokens) for slot in self._slots if slot.busy)

    def place(self, salt: str, prompt: Sequence[int]) -> Place:
        """Takes the free slot in which a prompt has least left to compute; there must be one."""
        free = [slot for slot in self._slots if not slot.busy]
        slot = min(free, key=lambda slot: (bool(slot.tokens), slot.last_used))
        source, reused = self._longest(salt, prompt)
        if source is not None and not source.busy and 2 * reused >= len(source.tokens):
            slot = source
        # Otherwise another conversation goes on in the source, or may: it keeps what it has.
        elif source is None or (reused < _WORTH_COPYING and source is not slot):
            source, reused = slot, 0
        slot.busy = True
        slot.last_used = next(self._clock)
        slot.salt = salt
        return Place(slot, source, reused)

    def release(self, slot: Slot) -> None:
        """Frees a slot; what it holds stays for later prompts, if they may use it."""
        slot.busy = False
        slot.last_used = next(self._clock)

    def cached(self, salt: str, prompt: Sequence[int]) -> int:
        """How many of a prompt's first tokens are cached now."""
        return self._longest(salt, prompt)[1]

    def clear(self) -> None:
        """Forgets everything: the cache has been emptied."""
        for slot in self._slots:
            slot.tokens.clear()
            slot.salt = ""

    def _longest(self, salt: str, prompt: Sequence[int]) -> tuple[Slot | None, int]:
        """The slot that shares most with a prompt. The last token is always left: its logits are wanted."""
        best, most = None, 0
        wanted = prompt[:-1]
        if self._reuse:
            for slot in self._slots:
                if slot.salt == salt and slot.tokens:
                    shared = shared_length(slot.tokens, wanted)
                    if shared > most or (shared == most and best is not None and best.busy and not slot.busy):
                        best, most = slot, shared
        return best, most


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two lists share from the start."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    # Comparing slices runs in C, so a binary search beats a loop by far.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low
