"""Measures whether the platform keeps its promises when engines and nodes die and adapters come; exits 1 if not.

    python bench/control.py [--only storm upload kill node zipf promotion] [--seconds 120]

The reconciler, the agents' supervisors and the gateway (gunicorn, two processes) are the real ones; engines are
`tests/fake_engine.py` (`bench/control_node.py` says what else differs). Everything runs on this machine. The bars are
in `BARS`. Compare figures of one run only: what else the machine does changes all of them.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform"), str(REPOSITORY / "bench")]

# ruff: noqa: E402 - the paths come first
from control_load import Asked, ask_steadily, percentile
from control_platform import (
    BASE,
    deploy,
    gateway,
    kill_engine,
    make_adapters,
    make_platform,
    node,
    ready_engines,
    wait_for,
)
from gateway_platform import private_redis

BARS = {
    "storm.failed": (0, "failed requests while a replica dies every 5 s"),
    "storm.p99_added_ms": (150, "ms that kills and retries add to the 99th percentile, lost work included"),
    "upload.resident_s": (3, "s from an upload's `ready` to resident on 3 engines, the slowest of 10"),
    "kill.around_ms": (300, "ms from kill -9 to routed around, the slowest of 5"),
    "node.gone_s": (15, "s from a node's loss until its engine is out of routing"),
    "zipf.missed_percent": (5, "% of requests that do not find their adapter resident"),
    "zipf.reconcile_ms": (500, "ms for a pass of the reconciler with 1,000 adapters, the slowest of 5"),
}
_ENGINE = ("--ttft=0.02", "--tokens=16", "--tps=200")
_RATE = 50.0
_KILL_EVERY = 5.0
_ADAPTERS, _SLOTS, _EXPONENT = 1000, 200, 1.1


def main() -> int:
    """Run the benchmark; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*SCENES, "promotion"], help="leave the others out")
    parser.add_argument("--seconds", type=float, default=120, help="length of the storm and of the Zipf run")
    given = parser.parse_args()
    failed = False
    for name in given.only or [*SCENES, "promotion"]:
        print(f"{name} …", flush=True)
        if name == "promotion":
            failed |= subprocess.call([sys.executable, str(REPOSITORY / "bench" / "promotion.py")]) != 0
        else:
            # A process each: Django and its database connections are set up once per process.
            child = os.fork()
            if not child:
                os._exit(_scene(name, given.seconds))
            failed |= os.waitpid(child, 0)[1] != 0
    return int(failed)


def _scene(name: str, seconds: float) -> int:
    """Play one scene on a platform of its own; prints its figures and returns 1 if a bar is not reached."""
    with tempfile.TemporaryDirectory(prefix="bench-control-") as folder, private_redis(Path(folder)):
        os.environ["POLYGRAFT_LOG_LEVEL"] = "WARNING"
        department, secret = make_platform(Path(folder))
        try:
            figures = SCENES[name](Path(folder), department, secret, seconds)
        except SystemExit as problem:
            print(f"  {problem}")
            _show_logs(Path(folder))
            return 1
    short = False
    for figure, value in figures.items():
        bar, meaning = BARS[f"{name}.{figure}"]
        reached = value <= bar
        short |= not reached
        print(f"  {'ok  ' if reached else 'SHORT'} {value:8.1f} (bar {bar}) {meaning}", flush=True)
    return int(short)


def storm(folder: Path, department: object, secret: str, seconds: float) -> dict[str, float]:
    """Kill one of three replicas every few seconds, under load."""
    del department
    deploy(3)
    with node(folder, "node-1", beat=True, engine=_ENGINE), gateway(folder) as url:
        wait_for(lambda: len(ready_engines()) == 3, "three engines are ready")
        calm = asyncio.run(ask_steadily(url, secret, rate=_RATE, seconds=min(20, seconds), model=lambda: BASE))
        over = threading.Event()
        kills = Counter[str]()

        def kill() -> None:
            while not over.wait(_KILL_EVERY):
                if engines := ready_engines():
                    victim = random.choice(engines)
                    kills["replicas that were ready"] += len(engines)
                    kills["kills"] += 1
                    kill_engine(victim.id)

        killer = threading.Thread(target=kill)
        killer.start()
        stormy = asyncio.run(ask_steadily(url, secret, rate=_RATE, seconds=seconds, model=lambda: BASE, seed=2))
        over.set()
        killer.join()
    outcomes = Counter(asked.outcome for asked in stormy)
    failed = [asked for asked in stormy if asked.outcome not in ("finished", "interrupted")]
    retried = [asked for asked in stormy if asked.fallback]
    print(f"  {len(stormy)} requests, {kills['kills']} kills, {len(retried)} retried: {dict(outcomes)}")
    ready = kills["replicas that were ready"] / max(1, kills["kills"])
    print(f"  {ready:.1f} replicas ready on average when one was killed; calm failures: {_failures(calm)}")
    for name, of in (("first content", lambda asked: asked.first), ("whole answer", lambda asked: asked.whole)):
        found = [_figures(asked, of) for asked in (calm, stormy, retried)]
        print(f"  {name}, p50 / p99: calm {found[0]}, storm {found[1]}, retried {found[2]}")
    finished = [asked for asked in stormy if asked.outcome == "finished"]
    added = percentile([asked.whole for asked in finished], 0.99) - percentile([asked.whole for asked in calm], 0.99)
    return {"failed": len(failed) + len(_failures(calm)), "p99_added_ms": added * 1000}


def upload(folder: Path, department: object, secret: str, seconds: float) -> dict[str, float]:
    """From the moment that a version is ready until three engines hold it."""
    del secret, seconds
    from serving.adapters.lifecycle import version_stored
    from serving.adapters.reading.names import CONFIG, WEIGHTS
    from serving.adapters.store.files import adapter_store
    from serving.engines.names import engine_adapter_name
    from serving.models import Adapter, AdapterVersion, BaseModel

    deploy(3)
    slowest, slowest_in_all = 0.0, 0.0
    with node(folder, "node-1", beat=True, engine=_ENGINE), node(folder, "node-2", engine=_ENGINE):
        wait_for(lambda: len(ready_engines()) == 3, "three engines are ready")
        for number in range(10):
            adapter = Adapter.objects.create(
                department=department, name=f"new-{number}", base_model=BaseModel.objects.get(name=BASE)
            )
            version = AdapterVersion.objects.create(adapter=adapter, number=1, state="validating")
            upload = folder / f"new-{number}"
            upload.mkdir()
            for name in (CONFIG, WEIGHTS):
                (upload / name).write_text(str(number))  # the fake engine reads nothing of it
            digest = adapter_store().put(upload)
            stored_at = time.monotonic()
            if not version_stored(version, digest=digest, size_bytes=1, report={}):
                raise SystemExit("The store does not hold what was just put into it.")
            ready_at = wait_for(
                lambda pk=version.pk: AdapterVersion.objects.filter(pk=pk, state="ready").exists(), "it is ready"
            )
            held = engine_adapter_name(digest)
            held_at = wait_for(
                lambda held=held: sum(held in entry.resident for entry in ready_engines()) == 3, "three engines hold it"
            )
            slowest = max(slowest, held_at - ready_at)
            slowest_in_all = max(slowest_in_all, held_at - stored_at)
    print(f"  from stored (checked, not yet tried by an engine) to resident on 3: {slowest_in_all:.2f} s at most")
    return {"resident_s": slowest}


def kill(folder: Path, department: object, secret: str, seconds: float) -> dict[str, float]:
    """From kill -9 until no request meets the dead engine any more."""
    del department, seconds
    deploy(3)
    slowest = 0.0
    with node(folder, "node-1", beat=True, engine=("--tokens=2",)), gateway(folder) as url:
        for _ in range(5):
            wait_for(lambda: len(ready_engines()) == 3, "three engines are ready")
            killed_at: list[float] = []

            def kill_soon(killed_at: list[float] = killed_at) -> None:
                victim = ready_engines()[0].id
                time.sleep(1)
                killed_at.append(time.monotonic())
                kill_engine(victim)

            killer = threading.Thread(target=kill_soon)
            killer.start()
            asked = asyncio.run(ask_steadily(url, secret, rate=100, seconds=3, model=lambda: BASE, streamed_share=0))
            killer.join()
            if failures := _failures(asked):
                raise SystemExit(f"Requests failed: {failures}")
            met = [one.sent_at + one.whole - killed_at[0] for one in asked if one.fallback]
            slowest = max([slowest, *met])
            last = max(met, default=0.0) * 1000
            print(f"  {len(met)} of {len(asked)} requests met the dead engine, the last {last:.0f} ms on")
    return {"around_ms": slowest * 1000}


def node_loss(folder: Path, department: object, secret: str, seconds: float) -> dict[str, float]:
    """From the moment that a node falls silent until the gateway knows no engine there."""
    del department, seconds
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": BASE, "messages": [{"role": "user", "content": "anybody?"}]}
    with gateway(folder) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:

        def code() -> str:
            answer = client.post("/v1/chat/completions", json=body)
            return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])

        deploy(1)
        with node(folder, "node-1", beat=True, engine=_ENGINE) as lost:
            wait_for(lambda: code() == "", "the engine answers")
            lost.kill()
            lost_at = time.monotonic()
            codes = Counter[str]()

            def out_of_routing() -> bool:
                found = code()
                codes[found] += 1
                return found == "no_engine"

            gone_at = wait_for(out_of_routing, "the engine is out of routing", seconds=40)
    print(f"  answers meanwhile: {dict(codes)}")
    return {"gone_s": gone_at - lost_at}


def zipf(folder: Path, department: object, secret: str, seconds: float) -> dict[str, float]:
    """A thousand adapters over four engines that hold two hundred each, asked for by Zipf's law."""
    deploy(4, residency="on_demand", adapter_slots=_SLOTS)
    names = make_adapters(department, _ADAPTERS)
    generator = random.Random(3)
    sums = list(itertools.accumulate(1 / rank**_EXPONENT for rank in range(1, _ADAPTERS + 1)))

    def model() -> str:
        return generator.choices(names, cum_weights=sums)[0]

    with node(folder, "node-1", beat=True, engine=("--tokens=2",)), gateway(folder) as url:
        wait_for(lambda: len(ready_engines()) == 4, "four engines are ready")
        for part in ("while the engines fill up", "afterwards"):
            before = _waits(url)
            asked = asyncio.run(ask_steadily(url, secret, rate=120, seconds=seconds / 2, model=model, streamed_share=0))
            missed = (_waits(url) - before) / len(asked) * 100
            held = sum(len(entry.resident) for entry in ready_engines())
            waited = percentile([one.whole for one in asked], 0.99)
            print(
                f"  {part}: {len(asked)} requests, {missed:.1f}% waited for their adapter, {held} resident in all, "
                f"p99 {waited * 1000:.0f} ms, failures {_failures(asked)}"
            )
            if _failures(asked):
                raise SystemExit("Requests failed.")
        from serving.fleet.reconciler import reconcile

        slowest = 0.0
        for _ in range(5):
            began = time.monotonic()
            reconcile()
            slowest = max(slowest, time.monotonic() - began)
    return {"missed_percent": missed, "reconcile_ms": slowest * 1000}


SCENES: dict[str, Callable[[Path, object, str, float], dict[str, float]]] = {
    "storm": storm,
    "upload": upload,
    "kill": kill,
    "node": node_loss,
    "zipf": zipf,
}


def _failures(asked: list[Asked]) -> dict[str, int]:
    return dict(Counter(one.outcome for one in asked if one.outcome not in ("finished", "interrupted")))


def _figures(asked: list[Asked], of: Callable[[Asked], float]) -> str:
    values = [of(one) for one in asked if one.outcome == "finished"]
    return f"{percentile(values, 0.5) * 1000:.0f} / {percentile(values, 0.99) * 1000:.0f} ms"


def _waits(url: str) -> float:
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    found = re.search(r"^polygraft_engine_waits_total (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        with contextlib.suppress(OSError):
            print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))


if __name__ == "__main__":
    sys.exit(main())
