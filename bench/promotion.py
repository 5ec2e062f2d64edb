"""Replays a day of traffic in simulated time through the real decisions on promotion and scale: moves, GPU hours.

Forty departments on eight base models. Their traffic follows office hours, with bursts, batch jobs at night and many
that are hardly ever used. Every 30 seconds `serving.scaling.promotion` decides about each of them, every 5 seconds
`serving.scaling.autoscale` about the vLLM deployment of each base model, which sleeps when nobody is left on it.
Compared with everybody on vLLM under the same autoscaler, which then may sleep too, as soon as nobody calls.
"""

import argparse
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from serving.placement.tiers import Tier
from serving.scaling.autoscale import Bounds, Load, Memory, autoscale
from serving.scaling.promotion import Standing, Thresholds, Traffic, promotion

STEP_SECONDS = 5.0
DECIDE_SECONDS = 30.0
DAY_SECONDS = 86_400.0
WINDOW_STEPS = int(300 / STEP_SECONDS)
# What a request is: a fair size, and the time that it takes on each kind of engine.
TOKENS, VLLM_SECONDS, LLAMACPP_SECONDS = 600, 4.0, 12.0
# Requests that one vLLM engine decodes at once before others wait, and the share of its KV cache that each takes.
VLLM_SLOTS, KV_SHARE = 32, 0.022
START_SECONDS = 90.0
THRESHOLDS = Thresholds(concurrency=2.0, tokens_per_minute=6000.0, quiet_seconds=7200.0)
BOUNDS = Bounds(fewest=1, most=6, idle_seconds=1800.0)
# The bars: moves of one department in a day, and seconds above the threshold that it may wait for a vLLM that has room.
MOST_MOVES, LONGEST_WAIT_SECONDS = 6, 600.0


@dataclass(slots=True)
class Department:
    """One department's day: its habit, and what became of it."""

    base_model: str
    habit: str
    busiest: float  # requests a minute at its peak
    standing: Standing = field(default_factory=lambda: Standing(Tier.LIGHTWEIGHT))
    window: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW_STEPS))
    moves: int = 0
    above_since: float | None = None
    longest_wait: float = 0.0
    debt: float = 0.0

    def requests(self, now: float, rng: random.Random) -> int:
        """How many requests arrive in the next step."""
        hour = now / 3600 % 24
        match self.habit:
            case "office":
                share = max(0.0, math.sin(math.pi * (hour - 8) / 10)) if 8 <= hour <= 18 else 0.01
            case "batch":
                share = 1.0 if 2 <= hour < 3.5 else 0.0
            case "bursts":
                share = 1.0 if now % 7200 < 600 else 0.05
            case "swinging":  # every quarter of an hour, between far above and just below what promotes
                share = 1.0 if now % 1800 < 900 else 0.35
            case _:
                share = 0.02
        self.debt += self.busiest * share * STEP_SECONDS / 60 * rng.uniform(0.5, 1.5)
        arrived = int(self.debt)
        self.debt -= arrived
        return arrived

    def traffic(self) -> Traffic:
        """The last five minutes."""
        busy = sum(seconds for seconds, _ in self.window)
        tokens = sum(tokens for _, tokens in self.window)
        return Traffic(busy / 300, tokens / 5)


@dataclass(slots=True)
class Fleet:
    """The vLLM deployment: wished and ready engines, those that start, and the queue."""

    wished: int = 0
    ready: int = 0
    starting: deque[float] = field(default_factory=deque)
    memory: Memory = field(default_factory=Memory)
    busy_at: float = 0.0
    seconds: float = 0.0
    scalings: int = 0

    def step(self, now: float, load: float) -> None:
        """One step under so many requests at once."""
        while self.starting and self.starting[0] <= now:
            self.starting.popleft()
            self.ready += 1
        self.seconds += (self.ready + len(self.starting)) * STEP_SECONDS
        if load > 0.01:
            self.busy_at = now
            if not self.wished:
                self._wish(1, now)
        if not self.wished:
            return
        running = min(load, float(self.ready * VLLM_SLOTS))
        reported = Load(
            ready=self.ready,
            running=running,
            waiting=load - running,
            kv_usage=min(1.0, running * KV_SHARE / self.ready) if self.ready else 0.0,
            busy_at=self.busy_at,
        )
        decision = autoscale(BOUNDS, self.wished, reported, self.memory, now)
        self.memory = decision.memory
        if decision.replicas != self.wished:
            self._wish(decision.replicas, now)

    def _wish(self, replicas: int, now: float) -> None:
        self.scalings += 1
        for _ in range(replicas - self.wished):
            self.starting.append(now + START_SECONDS)
        self.ready = min(self.ready, replicas)
        self.wished = replicas

    @property
    def has_room(self) -> bool:
        """As the platform asks it: something is ready and not full, or sleeps and can be woken."""
        return not self.wished or self.ready > 0


@dataclass(frozen=True, slots=True)
class Day:
    """What came of it."""

    gpu_hours: float
    all_on_vllm_gpu_hours: float
    promotions: int
    most_moves: int
    longest_wait: float
    on_vllm_share: float

    def complaints(self) -> list[str]:
        """The bars that it misses."""
        missed = []
        if self.most_moves > MOST_MOVES:
            missed.append(f"a department moved {self.most_moves} times, more than {MOST_MOVES}: it flaps")
        if self.longest_wait > LONGEST_WAIT_SECONDS:
            missed.append(f"a busy department waited {self.longest_wait:.0f} s, more than {LONGEST_WAIT_SECONDS:.0f}")
        if self.gpu_hours >= self.all_on_vllm_gpu_hours:
            missed.append("it costs no fewer GPU hours than everybody on vLLM")
        return missed


# Base model → who uses it: habit → how many, and the requests a minute of the busiest of them at its peak.
ESTATE: dict[str, dict[str, tuple[int, float]]] = {
    "general": {"office": (9, 45.0), "swinging": (2, 40.0), "rare": (4, 10.0)},
    "code": {"office": (3, 60.0), "bursts": (1, 30.0)},
    "night": {"batch": (3, 80.0), "rare": (1, 5.0)},
    "legal": {"office": (2, 12.0), "rare": (3, 8.0)},
    "support": {"bursts": (2, 45.0), "rare": (2, 8.0)},
    "hr": {"rare": (3, 10.0)},
    "finance": {"rare": (3, 6.0)},
    "archive": {"rare": (2, 4.0)},
}


def departments() -> list[Department]:
    """Forty, from hardly used to heavy; of each habit the busiest and ever smaller ones."""
    return [
        Department(base_model, habit, busiest=busiest / (number + 1))
        for base_model, habits in ESTATE.items()
        for habit, (count, busiest) in habits.items()
        for number in range(count)
    ]


def replay(seed: int = 1, *, everybody_on_vllm: bool = False) -> tuple[float, list[Department], float]:
    """A day; returns the GPU hours, the departments, and the share of requests that vLLM answered."""
    rng = random.Random(seed)
    people, fleets = departments(), {base_model: Fleet() for base_model in ESTATE}
    if everybody_on_vllm:
        for one in people:
            one.standing = Standing(Tier.STANDARD)
    answered = Counter[Tier]()
    now = 0.0
    while now < DAY_SECONDS:
        load = Counter[str]()
        for one in people:
            arrived = one.requests(now, rng)
            tier = one.standing.tier
            seconds = VLLM_SECONDS if tier is Tier.STANDARD else LLAMACPP_SECONDS
            one.window.append((arrived * seconds, arrived * TOKENS))
            answered[tier] += arrived
            if tier is Tier.STANDARD:
                load[one.base_model] += arrived * seconds / STEP_SECONDS
        for base_model, fleet in fleets.items():
            fleet.step(now, load[base_model])
        if not everybody_on_vllm and now % DECIDE_SECONDS == 0:
            for one in people:
                _decide(one, fleets[one.base_model], now)
        now += STEP_SECONDS
    gpu_hours = sum(fleet.seconds for fleet in fleets.values()) / 3600
    return gpu_hours, people, answered[Tier.STANDARD] / max(1, answered.total())


def _decide(one: Department, fleet: Fleet, now: float) -> None:
    traffic = one.traffic()
    move = promotion(one.standing, traffic, THRESHOLDS, has_room=fleet.has_room, now=now)
    is_above = (
        traffic.concurrency >= THRESHOLDS.concurrency or traffic.tokens_per_minute >= THRESHOLDS.tokens_per_minute
    )
    if one.standing.tier is Tier.LIGHTWEIGHT and is_above:
        one.above_since = now if one.above_since is None else one.above_since
        one.longest_wait = max(one.longest_wait, now - one.above_since)
    else:
        one.above_since = None
    one.moves += move.standing.tier is not one.standing.tier
    one.standing = move.standing


def day(seed: int = 1) -> Day:
    """A day with promotion, against the same day with everybody on vLLM."""
    gpu_hours, people, share = replay(seed)
    against, _, _ = replay(seed, everybody_on_vllm=True)
    return Day(
        gpu_hours=gpu_hours,
        all_on_vllm_gpu_hours=against,
        promotions=sum(one.moves for one in people),
        most_moves=max(one.moves for one in people),
        longest_wait=max(one.longest_wait for one in people),
        on_vllm_share=share,
    )


def report(seed: int = 1) -> list[str]:
    """Print the figures; returns the bars that are missed."""
    found = day(seed)
    saved = 1 - found.gpu_hours / found.all_on_vllm_gpu_hours
    print(f"promotion, a day of {len(departments())} departments on {len(ESTATE)} base models, simulated")
    print(
        f"  GPU hours          {found.gpu_hours:6.1f}, "
        f"everybody on vLLM {found.all_on_vllm_gpu_hours:.1f}: {saved:.0%} saved"
    )
    print(f"  answered by vLLM   {found.on_vllm_share:6.0%} of requests")
    print(
        f"  moves              {found.promotions:6d}, of one department at most {found.most_moves} (bar {MOST_MOVES})"
    )
    print(f"  longest wait       {found.longest_wait:6.0f} s above the threshold (bar {LONGEST_WAIT_SECONDS:.0f} s)")
    complaints = found.complaints()
    for complaint in complaints:
        print(f"  MISSED: {complaint}")
    return complaints


def main() -> int:
    """Print the figures; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    return 1 if report(parser.parse_args().seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
