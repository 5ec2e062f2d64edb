"""Compares Polygraft's llama.cpp host with llama-server on this machine; exits 1 if a bar is not reached.

Both run the same model, adapters, threads, prompts and lengths, in turn, in one run. A round during which other
processes took more than a twentieth of the machine is measured again. `--only` and `--rounds` shorten it.
"""

import argparse
import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

# ruff: noqa: E402 - the paths come first
from llamacpp_others import Others
from llamacpp_servers import Server, Shape, rival_binaries
from llamacpp_work import WORKS, Measured, Work, together

from demo_model import demo_model_path
from serving.adapters.convert_gguf import convert
from serving.adapters.examination.base_spec import BaseSpec

_FIGURES = ("tokens/s", "TTFT p50", "TTFT p99", "inter-token p50", "inter-token p99", "long TTFT", "peak MiB")
# What others may take of the machine during a round, and how often a round is measured again before they may.
_OTHERS, _AGAIN = 0.05, 4
# Contexts, and the streams of each, as the works have them.
_BARE = ((1, 1), (1, 8), (2, 4), (8, 2))


def main() -> int:
    """Runs the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each work, on both servers in turn")
    parser.add_argument("--only", help="works whose name contains this; `bare` for the limit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--options", default="", help="more of our host's, such as --no-q4-1-kernel")
    given = parser.parse_args()
    rival_binaries()
    print(f"{given.threads} threads, {given.rounds} rounds, load {os.getloadavg()[0]:.1f} before the start")
    reached = True
    with tempfile.TemporaryDirectory(prefix="bench-llamacpp-") as name:
        folder = Path(name)
        adapters = _adapters(folder, most=max(work.adapters for work in WORKS))
        for work in WORKS:
            if not given.only or given.only in work.name:
                shape = Shape(
                    demo_model_path(),
                    adapters[: work.adapters],
                    given.threads,
                    work.slots,
                    work.parallel,
                    work.ctx_size,
                    tuple(shlex.split(given.options)),
                )
                ours, theirs = asyncio.run(_measure(work, shape, given.rounds, folder))
                reached &= _report(work, ours, theirs)
        if not given.only or given.only == "bare":
            _report_bare(adapters, given.threads)
    print("Every bar that was measured is reached." if reached else "A bar is not reached.")
    return 0 if reached else 1


def _adapters(folder: Path, *, most: int) -> tuple[Path, ...]:
    """Files of the demo's adapters, in turn, each under as many names as are needed."""
    base = BaseSpec.from_gguf(demo_model_path())
    made = []
    for source in sorted((REPOSITORY / "demo" / "adapters").iterdir()):
        made.append(folder / f"{source.name}.gguf")
        convert(source, base, made[-1])
    return tuple(Path(shutil.copy(made[at % len(made)], folder / f"adapter-{at}.gguf")) for at in range(most))


async def _measure(work: Work, shape: Shape, rounds: int, folder: Path) -> tuple[Measured, Measured]:
    servers = [Server(shape, ours=ours, folder=folder) for ours in (True, False)]
    results = (Measured(), Measured())
    try:
        for server in servers:
            await together(work.slots, work.adapters, 8)(server, 900, Measured())
        disturbed = 0
        for round in range(rounds):
            for again in range(_AGAIN + 1):
                taken = [Measured(), Measured()]
                others = Others(*(server.pid for server in servers))
                for server, measured in zip(servers, taken, strict=True):
                    await work.round(server, round + again * rounds, measured)
                if others.share <= _OTHERS:
                    break
            else:
                disturbed += 1
            for measured, more in zip(results, taken, strict=True):
                measured.merge(more)
        if disturbed:
            print(f"\n{disturbed} of {rounds} rounds were disturbed by others: these figures are worth little.")
        for server, measured in zip(servers, results, strict=True):
            measured.peak_mib = server.peak_mib()
    finally:
        for server in servers:
            server.stop()
    return results


def _report(work: Work, ours: Measured, theirs: Measured) -> bool:
    print(f"\n{work.name}\n  {'':16}{'ours':>10}{'llama-server':>14}{'ratio':>8}  bar")
    mine, other = _figures(ours), _figures(theirs)
    reached = True
    for figure in (figure for figure in _FIGURES if other[figure]):
        ratio = mine[figure] / other[figure]
        verdict = ""
        for bar in work.bars:
            if bar.figure == figure:
                holds = bar.holds(ratio)
                reached &= holds
                verdict = f"{'≥' if bar.at_least else '≤'} {bar.limit:g} {'reached' if holds else 'NOT REACHED'}"
        print(f"  {figure:16}{mine[figure]:>10.1f}{other[figure]:>14.1f}{ratio:>8.2f}  {verdict}".rstrip(), flush=True)
    return reached


def _figures(measured: Measured) -> dict[str, float]:
    """Rates, and times in milliseconds."""
    values = (
        measured.rate,
        *(1e3 * _quantile(measured.firsts, share) for share in (0.5, 0.99)),
        *(1e3 * _quantile(measured.gaps, share) for share in (0.5, 0.99)),
        1e3 * _quantile(measured.longs or [0.0], 0.5),
        measured.peak_mib,
    )
    return dict(zip(_FIGURES, values, strict=True))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _report_bare(adapters: tuple[Path, ...], threads: int) -> None:
    print("\nllama_decode alone, no sampling, no HTTP: the limit to approach, in tokens/s with the prompts and without")
    for count, streams in _BARE:
        rates = [_bare(adapters[:count], streams, threads)]
        if count > 1:
            rates.append(_bare(adapters[:count], streams, threads, "--side-by-side"))
        told = "; side by side ".join(f"{all_of_it:.0f} and {decoding:.0f}" for all_of_it, decoding in rates)
        print(f"  {count} × {streams}: {told}", flush=True)


def _bare(adapters: tuple[Path, ...], streams: int, threads: int, *more: str) -> tuple[float, float]:
    """Tokens per second of a process of its own: with the prompts' time, and without it."""
    chosen = [part for path in adapters for part in ("--adapter", str(path))]
    command = [
        *(sys.executable, str(REPOSITORY / "bench" / "llamacpp_bare.py"), "--model", str(demo_model_path())),
        *(*chosen, "--streams", str(streams), "--threads", str(threads), *more),
    ]
    paths = {"PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(command, env=os.environ | paths, check=True, capture_output=True, text=True)
    all_of_it, decoding = map(float, ran.stdout.split())
    return all_of_it, decoding


if __name__ == "__main__":
    sys.exit(main())
