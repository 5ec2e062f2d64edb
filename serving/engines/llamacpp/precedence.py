"""Who is computed first: by priority, then by what the department has been served."""

from .contexts import Context
from .sequence import Sequence
from .turns import FairTurns


def contexts_ready(contexts: list[Context], turns: FairTurns) -> list[Context]:
    """Those that may be computed now, the most urgent first; equals stay in the order given."""
    active = [context for context in contexts if context.sequences]
    first = {context: min(context.sequences, key=lambda one: _urgency(one, turns)) for context in active}
    active.sort(key=lambda context: _urgency(first[context], turns))
    leading = {context: first[context].generation for context in active}
    most_urgent = min((one.priority for one in leading.values()), default=0)
    departments = {one.department for one in leading.values()}
    return [
        context
        for context, one in leading.items()
        if not context.is_computing
        and one.priority == most_urgent
        and not turns.must_yield(one.department, departments)
    ]


def in_order(sequences: list[Sequence], turns: FairTurns) -> list[Sequence]:
    """The sequences of a step: outputs before prompts, and among each the most urgent first."""
    return sorted(sequences, key=lambda one: (one.in_prompt, *_urgency(one, turns)))


def _urgency(sequence: Sequence, turns: FairTurns) -> tuple[int, float]:
    return sequence.generation.priority, turns.served(sequence.generation.department)
