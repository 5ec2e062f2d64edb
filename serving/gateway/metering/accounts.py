"""Settles the accounts of calls that have ended: metrics, usage record, access log.

It does so for all the calls of a moment at once: the same work done between requests, with cold caches, takes three
times as long.
"""

import asyncio

from serving.gateway.call import Call
from serving.gateway.meter import Meter
from serving.gateway.metering.journal import Journal
from serving.gateway.observing import metrics
from serving.gateway.observing.access_log import AccessLog
from serving.gateway.observing.tracing import Tracing

_GATHER_SECONDS = 0.02


class Accounts:
    """Every call begins and ends here."""

    def __init__(self, journal: Journal, meter: Meter, access_log: AccessLog, tracing: Tracing) -> None:
        self._journal = journal
        self._meter = meter
        self._access_log = access_log
        self._tracing = tracing
        self._ended: list[Call] = []
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def begin(self) -> None:
        """A call has arrived."""
        self._in_flight += 1
        self._flush_soon()

    def admit(self, call: Call) -> None:
        """A call is on a department's account, and stays there even if this process is killed."""
        call.entry = self._journal.open(call)

    def settle(self, call: Call) -> None:
        """A call has ended, in whatever way."""
        call.end()
        if call.grant is not None:
            if call.entry is None:
                self.admit(call)
            assert call.entry is not None  # noqa: S101  # for the type checker
            call.entry.ended(call)
        self._in_flight -= 1
        self._ended.append(call)
        if self._closed:
            self.flush()
        else:
            self._flush_soon()

    def flush(self) -> None:
        """Settle what has gathered."""
        self._timer = None
        ended, self._ended = self._ended, []
        metrics.IN_FLIGHT.set(self._in_flight)
        metrics.observe(ended)
        for call in ended:
            if call.entry is not None:
                self._meter.record(call.entry)
        self._access_log.write(ended)
        if self._tracing.on:
            self._tracing.export(ended)

    def close(self) -> None:
        """Settle what has gathered, and from now on each call as it ends."""
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        self.flush()

    def _flush_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self.flush)
