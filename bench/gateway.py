"""Compares what the gateway costs with vLLM's Rust router and LiteLLM's proxy; exits 1 if a bar is not reached.

    python bench/gateway.py [--rounds 3] [--seconds 2] [--only ours vllm-router] [--apart]

All stand in front of one mock engine on this machine and are measured in turn, in one run: small requests from `wrk`,
streams from a reader of this program. CPU is read from /proc over each measurement. Compare figures of one run only:
what else the machine does changes all of them.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

# ruff: noqa: E402 - the paths come first
from gateway_load import read_streams, require_wrk, small_requests
from gateway_platform import ENGINE_MODEL, make_platform, private_redis, published
from gateway_report import Figures, report
from gateway_servers import (
    DIRECT,
    LITELLM,
    OURS,
    ROUTER,
    Server,
    answers,
    install_rivals,
    litellm,
    mock_engine,
    ours,
    rival_version,
    vllm_router,
    wait_until,
)

CONNECTIONS = (1, 16, 256)
# Of fewer bursts the 99th percentile would be the slowest one.
STREAMS, CHUNKS, PAUSE_MS, BURSTS = 64, 64, 10, 20
# wrk leaves as many requests behind as it had connections, and those are not what streams are measured by.
REST_SECONDS = 0.5
OTHERS_CORE, SERVERS_CORE = 0, 1
OPEN_STREAMS, OPEN_CHUNKS, OPEN_PAUSE_MS = 2000, 12, 1000


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of everything, in turn; LiteLLM has one")
    parser.add_argument("--seconds", type=int, default=2, help="length of each run with wrk")
    parser.add_argument("--only", nargs="+", choices=[DIRECT, OURS, ROUTER, LITELLM], help="leave the others out")
    parser.add_argument("--apart", action="store_true", help="the servers on a core of their own")
    given = parser.parse_args()
    names = given.only or [DIRECT, ROUTER, OURS, LITELLM]
    require_wrk()
    install_rivals(names)
    print(f"{os.cpu_count()} cores, {given.rounds} rounds, load {os.getloadavg()[0]:.1f} before the start")
    # How it was built decides over a quarter of the gateway's CPU.
    print(f"Python {sys.version}", flush=True)
    measured = {name: Measured() for name in names}
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _stay_on(OTHERS_CORE, given.apart)
        engine = stack.enter_context(mock_engine())
        _stay_on(SERVERS_CORE, given.apart)
        servers = {DIRECT: engine}
        if OURS in names:
            stack.enter_context(private_redis(folder))
            secret, base_model_id = make_platform()
            # Where adapters are at home at first; turns are taken, and nobody waits for one.
            stack.enter_context(
                published(engine.asked.address, base_model_id, kind="llamacpp", slots=100_000, adapters=(ENGINE_MODEL,))
            )
            servers[OURS] = stack.enter_context(ours(folder, secret))
        if ROUTER in names:
            servers[ROUTER] = stack.enter_context(vllm_router(folder, engine.asked.address))
        _stay_on(OTHERS_CORE, given.apart)
        if LITELLM in names:
            # One round is enough for it, and waiting it would use the machine that the others are measured on.
            with litellm(folder, engine.asked.address) as server:
                _measure(server, measured[LITELLM], given.seconds)
        for _ in range(given.rounds):
            for name in names:
                if name != LITELLM:
                    _measure(servers[name], measured[name], given.seconds)
        for name in names:
            if name in (OURS, ROUTER):
                _measure_open(servers[name], measured[name])
    versions = {name: f"{name} {rival_version(name)}" for name in names if name in (ROUTER, LITELLM)}
    return 0 if report({versions.get(name, name): found.figures() for name, found in measured.items()}) else 1


def _stay_on(core: int, apart: bool) -> None:
    """Have this program, and what it starts from now on, use one core only."""
    if apart:
        os.sched_setaffinity(0, {core})


@dataclass
class Measured:
    """What one server has shown so far, a value per round."""

    cpu: dict[int, list[float]] = field(default_factory=dict)
    rate: dict[int, list[float]] = field(default_factory=dict)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    chunk_cpu: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    stream_bytes: float | None = None
    failed: int = 0

    def figures(self) -> Figures:
        """The medians of the rounds."""
        return Figures(
            request_us={at: 1e6 * statistics.median(values) for at, values in self.cpu.items()},
            rate={at: statistics.median(values) for at, values in self.rate.items()},
            p50_ms=1e3 * statistics.median(self.p50),
            p99_ms=1e3 * statistics.median(self.p99),
            chunk_us=1e6 * statistics.median(self.chunk_cpu),
            first_p50_ms=1e3 * _quantile(self.firsts, 0.5),
            first_p99_ms=1e3 * _quantile(self.firsts, 0.99),
            stream_kib=None if self.stream_bytes is None else self.stream_bytes / 1024,
            failed=self.failed,
        )


def _measure(server: Server, measured: Measured, seconds: int) -> None:
    """One round of small requests and streams."""
    wait_until(lambda: answers(server.asked), f"{server.name} answers")
    for connections in CONNECTIONS:
        if server.name == LITELLM and connections == 256:
            continue  # at some 100 requests a second they would only wait for each other
        before = server.cpu_seconds()
        small = small_requests(server.asked, connections, seconds)
        cost = (server.cpu_seconds() - before) / max(small.requests, 1)
        measured.cpu.setdefault(connections, []).append(cost)
        measured.rate.setdefault(connections, []).append(small.requests / seconds)
        measured.failed += small.failed
        if connections == 1:
            measured.p50.append(small.p50)
            measured.p99.append(small.p99)
    time.sleep(REST_SECONDS)
    for _ in range(1 if server.name == LITELLM else BURSTS):
        before = server.cpu_seconds()
        streams = read_streams(server.asked, STREAMS, chunks=CHUNKS, pause_ms=PAUSE_MS)
        measured.chunk_cpu.append((server.cpu_seconds() - before) / max(streams.words, 1))
        measured.firsts += streams.firsts
        measured.failed += streams.failed + (streams.words != STREAMS * CHUNKS)
    print(f"  {server.name}: measured", flush=True)


def _measure_open(server: Server, measured: Measured) -> None:
    """Memory per stream while many are open."""
    before = server.memory()
    open_memory: list[int] = []
    streams = read_streams(
        server.asked,
        OPEN_STREAMS,
        chunks=OPEN_CHUNKS,
        pause_ms=OPEN_PAUSE_MS,
        once_open=lambda: open_memory.append(server.memory()),
    )
    measured.stream_bytes = (open_memory[0] - before) / OPEN_STREAMS
    measured.failed += streams.failed + (streams.words != OPEN_STREAMS * OPEN_CHUNKS)
    print(f"  {server.name}: {OPEN_STREAMS} streams were open", flush=True)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    sys.exit(main())
