"""Notices exchanges in which nothing has come for too long, all of a pool with one timer, as many would cost more."""

import asyncio
from typing import Protocol

_LOOKS = 10  # in the time that an exchange may be silent
_LONGEST_PAUSE = 1.0


class Exchange(Protocol):
    """Something that may fall silent.

    `last_byte`, of its body, is a reading of its loop's clock; until there is one, a time from which silence counts
    alike.
    """

    last_byte: float

    def give_up(self) -> None:
        """It has been silent for too long."""


class Silence:
    """The exchanges under way."""

    def __init__(self, first_seconds: float, seconds: float) -> None:
        """Take the longest that an exchange may be silent: until the first byte of its body, and from then on."""
        self._seconds = seconds
        self._grace = first_seconds - seconds
        self._pause = min(first_seconds / _LOOKS, seconds / _LOOKS, _LONGEST_PAUSE)
        # A dictionary as a set that keeps its order.
        self._under_way: dict[Exchange, None] = {}
        self._looking = False

    def begin(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        """An exchange begins."""
        exchange.last_byte = loop.time() + self._grace
        self._under_way[exchange] = None
        if not self._looking:
            self._looking = True
            loop.call_later(self._pause, self._look, loop)

    def end(self, exchange: Exchange) -> None:
        """It is over."""
        self._under_way.pop(exchange, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        silent_since = loop.time() - self._seconds
        for exchange in [one for one in self._under_way if one.last_byte <= silent_since]:
            self.end(exchange)
            exchange.give_up()
        self._looking = bool(self._under_way)
        if self._looking:
            loop.call_later(self._pause, self._look, loop)
