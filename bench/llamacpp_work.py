"""The kinds of work that are measured, and the bars that each must reach against llama-server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from llamacpp_load import Stream, ask, ask_together
from llamacpp_servers import Server

_WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "while",
    "seven",
    "wise",
    "owls",
    "watch",
    "it",
)
# Words of a stream's prompt: some twenty tokens, as in the figures that the bars were taken from.
_SHORT = 10


@dataclass
class Measured:
    """What one server did in all rounds of one work. `longs` are the long prompts' first tokens. Times in seconds."""

    tokens: int = 0
    seconds: float = 0.0
    firsts: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    longs: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    def add(self, streams: list[Stream], seconds: float) -> None:
        """Adds a round."""
        self.seconds += seconds
        for stream in streams:
            self.tokens += stream.tokens
            self.firsts.append(stream.first)
            self.gaps += stream.gaps

    def merge(self, other: "Measured") -> None:
        """Adds what was measured in other rounds."""
        self.tokens += other.tokens
        self.seconds += other.seconds
        self.firsts += other.firsts
        self.gaps += other.gaps
        self.longs += other.longs

    @property
    def rate(self) -> float:
        """Tokens per second, prompts' computation included."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Bar:
    """A ratio, ours to llama-server's, with the limit that it must reach: at least for rates, at most for times."""

    figure: str
    limit: float
    at_least: bool

    def holds(self, ratio: float) -> bool:
        """Whether it is reached."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit


@dataclass(frozen=True)
class Work:
    """One kind of work: what the servers are started for, one round of it, and its bars.

    `parallel` is how many sequences of one adapter the host computes at once, of `slots` in all.
    """

    name: str
    adapters: int
    slots: int
    parallel: int
    ctx_size: int
    round: Callable[[Server, int, Measured], Awaitable[None]]
    bars: tuple[Bar, ...]


def prompt(seed: int, words: int) -> str:
    """A text of so many words that begins as no other seed's does."""
    return f"Number {seed}: " + " ".join(_WORDS[(seed * 7 + at * (1 + seed % 5)) % len(_WORDS)] for at in range(words))


def together(streams: int, adapters: int, tokens: int) -> Callable[[Server, int, Measured], Awaitable[None]]:
    """A round of streams that all begin at once."""

    async def run(server: Server, round: int, measured: Measured) -> None:
        asked = [(at % adapters, prompt(round * 1000 + at, _SHORT)) for at in range(streams)]
        begun = time.perf_counter()
        answers = await ask_together(server, asked, tokens)
        measured.add(answers, time.perf_counter() - begun)

    return run


async def second_turn(server: Server, round: int, measured: Measured) -> None:
    """A chat of a thousand tokens, and its next turn, which alone is measured."""
    opening = prompt(round * 1000, 900)
    first = await ask(server, 0, opening, 16)
    begun = time.perf_counter()
    answer = await ask(server, 0, f"{opening}{first.text}\nAnd what did the owls say?\n", 16)
    measured.add([answer], time.perf_counter() - begun)


def beside_a_long_prompt(adapter: int) -> Callable[[Server, int, Measured], Awaitable[None]]:
    """Eight streams of adapter 0, which are measured, while a prompt of 4,000 tokens arrives for `adapter`."""

    async def run(server: Server, round: int, measured: Measured) -> None:
        begun = time.perf_counter()
        asked = [(0, prompt(round * 1000 + at, _SHORT)) for at in range(8)]
        streams = asyncio.create_task(ask_together(server, asked, 96))
        await asyncio.sleep(1.5)
        long = asyncio.create_task(ask(server, adapter, prompt(round * 1000 + 500, 3700), 1))
        measured.add(await streams, time.perf_counter() - begun)
        measured.longs.append((await long).first)

    return run


WORKS = (
    Work("1 stream, 1 adapter", 1, 1, 1, 512, together(1, 1, 96), (Bar("tokens/s", 0.95, True),)),
    Work("8 streams, 1 adapter", 1, 8, 8, 512, together(8, 1, 64), (Bar("tokens/s", 1.1, True),)),
    Work(
        *("8 streams over 2 adapters", 2, 8, 4, 512, together(8, 2, 64)),
        (Bar("tokens/s", 1.4, True), Bar("TTFT p99", 0.25, False)),
    ),
    Work(
        *("16 streams over 8 adapters", 8, 16, 2, 512, together(16, 8, 48)),
        (Bar("tokens/s", 1.6, True), Bar("TTFT p99", 0.1, False)),
    ),
    Work("second turn of a 1,000-token chat", 1, 2, 2, 2048, second_turn, (Bar("TTFT p50", 1.2, False),)),
    Work(
        *("8 streams beside a 4,000-token prompt", 1, 9, 9, 4608, beside_a_long_prompt(0)),
        (Bar("inter-token p99", 1.0, False),),
    ),
    # llama-server leaves the prompt alone until the streams have ended, so that only its TTFT can be compared.
    Work("the same, the prompt for another adapter", 2, 9, 8, 4608, beside_a_long_prompt(1), ()),
)
