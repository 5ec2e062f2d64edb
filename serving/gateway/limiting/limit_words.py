"""Says limits in words and headers: how much there is, how much is left, what is exhausted and when to ask again."""

import math
import time
from collections.abc import Sequence
from functools import lru_cache

from polygraft.conf import config
from serving.accounting.counters import WORDS
from serving.gateway.errors import QuotaExhausted, RateLimited
from serving.gateway.limiting.lease import Lease, Unit

PLATFORM = "platform"


def lines(requests: Sequence[Lease], tokens: Sequence[Lease]) -> bytes:
    """OpenAI's `x-ratelimit-*` headers: the limit of requests and the one of tokens of which the least is left."""
    told = b""
    if requests:
        told = _about(requests[0] if len(requests) == 1 else min(requests, key=_left), "requests")
    if tokens:
        told += _about(tokens[0] if len(tokens) == 1 else min(tokens, key=_left), "tokens")
    return told


def _about(lease: Lease, unit: str) -> bytes:
    left = int(lease.free + lease.left)
    if left < 0:
        left = 0
    counter = lease.counter
    # If nothing more is asked, a window is whole again after its length.
    seconds = max(lease.period_ends - time.time(), 0.0) if counter.period else counter.span
    return _template(unit, lease.limit, math.ceil(seconds)) % left


def refusal(lease: Lease, now: float) -> RateLimited:
    """Says which limit of which level is exhausted, and when to ask again."""
    seconds = _seconds_to_wait(lease, now)
    when = f"Try again in {_duration(seconds).decode()}."
    counter = lease.counter
    if counter.level == PLATFORM:
        # How much the platform takes as a whole says something about the others on it.
        message = f"The platform is at its limit of {WORDS[counter.kind].replace('per month', 'money per month')}."
    else:
        model = f" for the model '{counter.model}'" if counter.model else ""
        message = f"Your {counter.level} is at its limit of {_amount(lease)}{model}."
    return _error(lease, f"{message} {when}", seconds)


def too_large(lease: Lease, amount: float) -> RateLimited:
    """Says that a request would be over the limit even if nothing else had been asked."""
    counter = lease.counter
    if counter.unit == Unit.MONEY:
        taken = f"could cost {amount / 1e6:.2f} {config().currency}"
    else:
        taken = f"could take {amount:.0f} tokens, prompt and answer together"
    whose = "the platform allows" if counter.level == PLATFORM else f"your {counter.level} has"
    message = f"This request {taken}, more than the {_amount(lease)} that {whose}. Lower 'max_tokens' or shorten it."
    return _error(lease, message, None)


def _error(lease: Lease, message: str, seconds: float | None) -> RateLimited:
    kind = QuotaExhausted if lease.counter.period else RateLimited
    own = () if lease.counter.level == PLATFORM else (lease,)
    return kind(
        message,
        seconds=None if seconds is None else math.ceil(seconds),
        told=lines(
            [lease for lease in own if lease.counter.unit == Unit.REQUESTS],
            [lease for lease in own if lease.counter.unit == Unit.TOKENS],
        ),
    )


def _amount(lease: Lease) -> str:
    words = WORDS[lease.counter.kind]
    if lease.counter.unit == Unit.MONEY:
        return f"{lease.limit / 1e6:.2f} {config().currency} {words}"
    return f"{lease.limit:.0f} {words}"


def _seconds_to_wait(lease: Lease, now: float) -> float:
    if lease.counter.period:
        return max(lease.period_ends - time.time(), 1.0)
    return 1.0 if lease.frees_at is None else max(lease.frees_at - now, 0.001)


def _left(lease: Lease) -> float:
    return lease.free + lease.left


@lru_cache(maxsize=4096)
def _template(unit: str, limit: float, seconds: int) -> bytes:
    """All there is to say about a limit, but for the number that is left of it."""
    return (
        f"x-ratelimit-limit-{unit}: {limit:.0f}\r\n"
        f"x-ratelimit-remaining-{unit}: %d\r\n"
        f"x-ratelimit-reset-{unit}: {_duration(seconds).decode()}\r\n"
    ).encode()


def _duration(seconds: float) -> bytes:
    """A time as OpenAI writes it, such as 1m0s."""
    whole = math.ceil(seconds)
    if whole < 60:
        return b"%ds" % whole
    if whole < 3600:
        return b"%dm%ds" % divmod(whole, 60)
    hours, rest = divmod(whole, 3600)
    return b"%dh%dm%ds" % (hours, *divmod(rest, 60))
