"""Prints the benchmark's figures side by side and judges the bars."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

_OURS, _ROUTER, _LITELLM, _DIRECT = "ours", "vllm-router", "litellm", "direct"
# The level of concurrency at which the cost of a small request is compared.
_BUSY = 16


@dataclass(frozen=True)
class Figures:
    """One server's figures; those of small requests by the number of connections.

    Times are microseconds of CPU, or milliseconds of waiting; `stream_kib` is memory per open stream; `failed` counts
    requests and streams that went wrong anywhere.
    """

    request_us: dict[int, float]
    rate: dict[int, float]
    p50_ms: float
    p99_ms: float
    chunk_us: float
    first_p50_ms: float
    first_p99_ms: float
    stream_kib: float | None
    failed: int


@dataclass(frozen=True)
class _Bar:
    """What must hold: a value that our figures, beside those of `beside`, must not exceed."""

    name: str
    limit: float
    value: Callable[[Figures, Figures], float]
    beside: str


def _request_share(us: Figures, it: Figures) -> float:
    return us.request_us[_BUSY] / it.request_us[_BUSY]


_BARS = (
    _Bar("CPU per small request, of vllm-router's", 1.6, _request_share, _ROUTER),
    _Bar("CPU per small request, of LiteLLM's", 0.01, _request_share, _LITELLM),
    _Bar("CPU per streamed chunk, of vllm-router's", 1.25, lambda us, it: us.chunk_us / it.chunk_us, _ROUTER),
    _Bar("added p50 at 1 connection, ms", 0.25, lambda us, it: us.p50_ms - it.p50_ms, _DIRECT),
    _Bar("TTFT p99 of 64 streams, of vllm-router's", 1.3, lambda us, it: us.first_p99_ms / it.first_p99_ms, _ROUTER),
    _Bar("memory per open stream, KiB", 60, lambda us, _: us.stream_kib or 0.0, _OURS),
    _Bar("requests and streams that failed", 0, lambda us, _: us.failed, _OURS),
)


def report(figures: Mapping[str, Figures]) -> bool:
    """Print the table and the bars; returns whether every bar that could be judged is reached.

    Args:
        figures: by the server's name, which a version may follow.
    """
    width = max(12, *(len(name) + 2 for name in figures))
    print("\n" + " " * 34 + "".join(f"{name:>{width}}" for name in figures))
    direct = next((found for name, found in figures.items() if name == _DIRECT), None)
    for label, value in _rows(direct):
        cells = (value(found) for found in figures.values())
        print(f"{label:34}" + "".join(f"{'–' if cell is None else f'{_short(cell)}':>{width}}" for cell in cells))
    print()
    reached = True
    for bar in _BARS:
        us, it = _find(figures, _OURS), _find(figures, bar.beside)
        if us is None or it is None:
            print(f"{bar.name:44} not measured")
            continue
        value = bar.value(us, it)
        holds = value <= bar.limit
        reached &= holds
        print(f"{bar.name:44} {value:8.3f}  ≤ {bar.limit:<6g} {'reached' if holds else 'NOT REACHED'}")
    print("Every bar that was measured is reached." if reached else "A bar is not reached.")
    return reached


def _find(figures: Mapping[str, Figures], name: str) -> Figures | None:
    return next((found for full, found in figures.items() if full.split()[0] == name), None)


def _rows(direct: Figures | None) -> list[tuple[str, Callable[[Figures], float | None]]]:
    added: list[tuple[str, Callable[[Figures], float | None]]] = []
    if direct is not None:
        added = [
            ("added p50 at 1, ms", lambda it: it.p50_ms - direct.p50_ms),
            ("added p99 at 1, ms", lambda it: it.p99_ms - direct.p99_ms),
        ]
    return [
        *((f"CPU per request at {at}, µs", partial(_at, "request_us", at)) for at in (1, 16, 256)),
        *((f"requests/s at {at}", partial(_at, "rate", at)) for at in (1, 16, 256)),
        ("p50 at 1, ms", lambda it: it.p50_ms),
        ("p99 at 1, ms", lambda it: it.p99_ms),
        *added,
        ("CPU per chunk, 64 streams, µs", lambda it: it.chunk_us),
        ("TTFT p50 of 64 streams, ms", lambda it: it.first_p50_ms),
        ("TTFT p99 of 64 streams, ms", lambda it: it.first_p99_ms),
        ("memory per 1,000 open streams, MiB", lambda it: it.stream_kib and it.stream_kib * 1000 / 1024),
        ("failed", lambda it: it.failed),
    ]


def _at(figure: str, connections: int, found: Figures) -> float | None:
    by_connections: dict[int, float] = getattr(found, figure)
    return by_connections.get(connections)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
