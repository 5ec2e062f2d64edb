"""What tokens of a base model cost: one pure function that limits, the meter and reports share."""

from dataclasses import dataclass
from decimal import Decimal

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in the platform's currency (`POLYGRAFT_CURRENCY`)."""

    prompt: Decimal = Decimal(0)
    cached: Decimal = Decimal(0)
    completion: Decimal = Decimal(0)


FREE = Prices()


def cost_of(prices: Prices, *, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Decimal:
    """What a request costs, in the platform's currency, exactly.

    Args:
        prompt_tokens: all of the prompt's, cached ones included, as engines count them.
        cached_tokens: how many of them were in the engine's prefix cache.
    """
    cached = min(cached_tokens, prompt_tokens)
    total = (prompt_tokens - cached) * prices.prompt + cached * prices.cached + completion_tokens * prices.completion
    return total / MILLION
