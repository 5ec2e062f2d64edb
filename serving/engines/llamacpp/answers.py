"""One request's generations on the asyncio side: their events in order, and a way to leave early."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from .generation import Event, Failed, FinishReason, Generation
from .replies import Output
from .scheduler import Scheduler


class ClientLeft(Exception):
    """Nobody waits for this answer any more."""


class Answer:
    """The sink of a request's generations; belongs to the event loop."""

    def __init__(self, scheduler: Scheduler, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.outputs: list[Output] = []
        self._scheduler = scheduler
        self._generations: Sequence[Generation] = ()
        self._events: asyncio.Queue[tuple[int, Event] | None] = asyncio.Queue()

    def begin(self, generations: list[Generation]) -> None:
        """Submits the generations, of which this is the sink; QueueFull if too many wait."""
        self.outputs = [Output() for _ in generations]
        self._scheduler.submit(generations)
        self._generations = generations

    def deliver(self, index: int, event: Event) -> None:
        """Takes an event of the generation with this index."""
        self._events.put_nowait((index, event))

    def leave(self) -> None:
        """Gives up: frees what still runs, and ends the iteration with ClientLeft."""
        self.release()
        self._events.put_nowait(None)

    def release(self) -> None:
        """Ends the generations that have not finished."""
        unfinished = [one for one in self._generations if self.outputs[one.index].finish_reason is None]
        if unfinished:
            self._scheduler.cancel(unfinished)

    async def pieces(self) -> AsyncIterator[list[tuple[int, str, FinishReason | None]]]:
        """What arrived since the last look, as (index, text, finish_reason), until all are finished.

        Raises the HostError of a generation that failed.
        """
        unfinished = len(self.outputs)
        while unfinished:
            arrived = [await self._events.get()]
            while not self._events.empty():
                arrived.append(self._events.get_nowait())
            pieces = []
            for entry in arrived:
                if entry is None:
                    raise ClientLeft
                index, event = entry
                if isinstance(event, Failed):
                    raise event.error
                output = self.outputs[index]
                output.tokens, output.finish_reason = event.tokens, event.finish_reason
                unfinished -= event.finish_reason is not None
                pieces.append((index, event.text, event.finish_reason))
            yield pieces

    async def collect(self) -> None:
        """Waits for everything; the texts are in `outputs`."""
        texts: list[list[str]] = [[] for _ in self.outputs]
        async for pieces in self.pieces():
            for index, text, _ in pieces:
                texts[index].append(text)
        for output, parts in zip(self.outputs, texts, strict=True):
            output.text = "".join(parts)
