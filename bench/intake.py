"""Measures the intake of adapters: examining a large one, refusing one by its header, and an upload of 2 GiB that is
cut off five times. Exits 1 if a bar is not reached.

The upload runs against a platform as `make run` starts it, in a folder of its own. `--only` shortens it.
"""

import argparse
import base64
import hashlib
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

# ruff: noqa: E402 - the paths come first
import httpx

from adapter_factory import MODULES, SMOLLM2_GGUF, small_adapter
from running_platform import Platform, free_port, start_platform, stop_platform
from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.process import Bounds, Examination, examine_apart
from serving.adapters.examination.warm import warm_examiner
from serving.adapters.reading.limits import GIB, MIB, Limits

_ROUNDS = 5
_BOUNDS = Bounds(seconds=300, memory_bytes=1024 * MIB)
_TUS = {"Tus-Resumable": "1.0.0"}
_UPLOAD_BYTES = 2 * GIB
_CUTS = 5


def main() -> int:
    """Runs the benchmark; its exit status."""
    measures = {"examine": _examine, "refuse": _refuse, "upload": _upload}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=measures, help="one of the three")
    only = parser.parse_args().only
    print(f"load {os.getloadavg()[0]:.1f} before the start")
    reached = True
    with tempfile.TemporaryDirectory(prefix="bench-intake-") as name:
        for measure, run in measures.items():
            if only in (None, measure):
                reached &= run(Path(name))
    print("Every bar that was measured is reached." if reached else "A bar is not reached.")
    return 0 if reached else 1


def _examine(folder: Path) -> bool:
    # Begun while this process is small: what it has counts as its children's, too, until they are other programs.
    _report(small_adapter().write(folder / "small"), folder, ok=True)
    adapter = small_adapter(rank=160, modules=tuple(MODULES), dtype="F32").write(folder / "large")
    size = sum(file.stat().st_size for file in adapter.iterdir())
    print(f"\nexamining an adapter of {size / 1e6:.0f} MB, in a process of its own")
    seconds = _fastest(lambda: _report(adapter, folder, ok=True))
    # What is kept at hand is ended, so that what its forks took is counted.
    warm_examiner.close()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"  memory {memory:.0f} MiB")
    return _bar("seconds", seconds, 3)


def _refuse(folder: Path) -> bool:
    adapter = small_adapter(rank=160, modules=tuple(MODULES), dtype="F32").write(folder / "foreign")
    weights = adapter / "adapter_model.safetensors"
    with weights.open("r+b") as file:
        file.seek(8)
        file.write(b"~")
    print("\nrefusing one as large by its header, in a process of its own")
    first = 1000 * _seconds(lambda: _report(adapter, folder, ok=False))
    print(f"  milliseconds of a worker's first, which starts what is kept at hand: {first:.0f}")
    return _bar("milliseconds", 1000 * _fastest(lambda: _report(adapter, folder, ok=False)), 100)


def _report(adapter: Path, folder: Path, *, ok: bool) -> None:
    shutil.rmtree(folder / "taken", ignore_errors=True)
    base = BaseSpec.from_gguf(SMOLLM2_GGUF)
    report = examine_apart(Examination(adapter, folder / "taken", base, Limits(max_rank=512), _BOUNDS))
    if report["ok"] is not ok:
        raise SystemExit(f"The report is not as expected: {report['findings'][:1]}")


def _fastest(run: Callable[[], None]) -> float:
    """Seconds of the fastest of some rounds: the others were disturbed."""
    return min(_seconds(run) for _ in range(_ROUNDS))


def _seconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _upload(folder: Path) -> bool:
    platform = start_platform(folder / "home", free_port())
    try:
        idle = _web_memory(platform)
        print(f"\nan upload of 2 GiB, cut off {_CUTS} times; the web processes have {idle:.0f} MiB when idle")
        highest = _send_all(platform)
    finally:
        stop_platform(platform)
    return _bar("MiB above idle", highest - idle, 150)


def _send_all(platform: Platform) -> float:
    """Send it, check its digest where it lies, and return the most memory that was seen."""
    piece = os.urandom(MIB)
    about = {"Upload-Length": str(_UPLOAD_BYTES), "Upload-Metadata": f"filename {base64.b64encode(b'x').decode()}"}
    url = platform.api("POST", "departments/support/uploads", headers=_TUS | about).headers["Location"]
    highest = 0.0
    for cut in range(1, _CUTS + 2):
        until = _UPLOAD_BYTES if cut > _CUTS else cut * _UPLOAD_BYTES // (_CUTS + 1)
        _send(platform, url, piece, _offset(platform, url), until)
        highest = max(highest, _web_memory(platform))
        while _offset(platform, url) < until:
            time.sleep(0.05)
    arrived = platform.home / "uploads" / "arriving" / url.rpartition("/")[2]
    expected = hashlib.sha256()
    for _ in range(_UPLOAD_BYTES // MIB):
        expected.update(piece)
    with arrived.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected.hexdigest():
            raise SystemExit("What arrived is not what was sent.")
    return highest


def _send(platform: Platform, url: str, piece: bytes, offset: int, until: int) -> None:
    """Announce all that is missing, send up to `until`, and cut the connection there."""
    place = urlsplit(platform.url)
    head = (
        f"PATCH {url} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {platform.demo['admin_token']}\r\n"
        f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n"
        f"Content-Length: {_UPLOAD_BYTES - offset}\r\n\r\n"
    )
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        connection.sendall(head.encode())
        while offset < until:
            start = offset % MIB
            sent = piece[start : start + min(MIB - start, until - offset)]
            connection.sendall(sent)
            offset += len(sent)
        if until == _UPLOAD_BYTES:
            connection.recv(1024)


def _offset(platform: Platform, url: str) -> int:
    answer: httpx.Response = platform.api("HEAD", url.removeprefix("/api/v1/"), headers=_TUS)
    return int(answer.headers["Upload-Offset"])


def _web_memory(platform: Platform) -> float:
    """MiB that are resident in the largest of the platform's gunicorn workers."""
    largest = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = status.with_name("cmdline").read_bytes()
            environment = status.with_name("environ").read_bytes()
            text = status.read_text()
        except OSError:
            continue
        if b"gunicorn" in command and f"POLYGRAFT_HOME={platform.home}".encode() in environment:
            largest = max(largest, int(text.partition("VmHWM:")[2].split()[0]))
    return largest / 1024


def _bar(figure: str, found: float, most: float) -> bool:
    print(f"  {figure}: {found:.2f}, at most {most} {'reached' if found <= most else 'NOT REACHED'}", flush=True)
    return found <= most


if __name__ == "__main__":
    sys.exit(main())
