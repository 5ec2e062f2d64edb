"""One request's generations on the asyncio side: their pieces in order, and a way to leave early."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from .generation import Event, Failed, Generation, Piece
from .scheduler import Scheduler


class ClientLeft(Exception):
    """Nobody waits for this answer any more."""


class Answer:
    """The sink of a request's generations, `choices` for each prompt; belongs to the event loop."""

    def __init__(self, scheduler: Scheduler, choices: int) -> None:
        self._scheduler = scheduler
        self._choices = choices
        self._generations: Sequence[Generation] = ()
        self._last: dict[int, Piece] = {}
        self._events: asyncio.Queue[tuple[int, Event] | None] = asyncio.Queue()

    def begin(self, generations: list[Generation]) -> None:
        """Submits the generations, of which this is the sink; QueueFull if too many wait."""
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
        unfinished = [one for one in self._generations if not self._is_finished(one.index)]
        if unfinished:
            self._scheduler.cancel(unfinished)

    async def pieces(self) -> AsyncIterator[list[tuple[int, Piece]]]:
        """What arrived since the last look, each with its generation's index, until all are finished.

        Raises the HostError of a generation that failed.
        """
        while not all(self._is_finished(one.index) for one in self._generations):
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
                self._last[index] = event
                pieces.append((index, event))
            yield pieces

    def usage(self) -> dict[str, object]:
        """OpenAI's usage object: prompts count once, however many choices each has."""
        prompts = self._generations[:: self._choices]
        prompt = sum(len(one.prompt) for one in prompts)
        completion = sum(piece.tokens for piece in self._last.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(one.cached for one in prompts)},
        }

    def _is_finished(self, index: int) -> bool:
        last = self._last.get(index)
        return last is not None and last.finish_reason is not None
