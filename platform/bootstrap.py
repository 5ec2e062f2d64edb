"""Sets this checkout up: a virtual environment, Python's packages and the front end's. Any python3 ≥ 3.8 runs it."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from polygraft.local.ports import port_problem
from polygraft.local.redis_program import redis_on_path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 18
RUN_EXTRAS = {"llamacpp", "demo"}
# What `dev` brings is named here, too: so that what tests have needs nothing more to run.
TEST_EXTRAS = {"dev", *RUN_EXTRAS}
DISK_GIB = 3  # the environment, node_modules, and llama.cpp's sources and objects while it compiles

# What pip prints → what it is doing.
_ACTIVITIES = [
    (re.compile(r"Collecting ([\w.-]+)"), "finding {}"),
    (re.compile(r"\s*Downloading (\S+)"), "downloading {}"),
    (re.compile(r"\s*Building wheel for llama[-_]cpp"), "compiling llama.cpp, once only: 4–5 minutes on two cores"),
    (re.compile(r"Installing collected packages"), "installing"),
]


class SetUpError(Exception):
    """Set-up cannot go on; the message says why, and what to do."""


class Progress:
    """What a slow step shows: one ticking line on a terminal, a line every 30 seconds elsewhere."""

    def __init__(self, title: str) -> None:
        self.activity = "at work"
        self._begun = self._told = time.monotonic()
        self._on_terminal = sys.stdout.isatty()
        print(f"• {title} …", flush=True)

    def tick(self) -> None:
        """Say what goes on, and since when."""
        line = f"  {self._elapsed()}  {self.activity}"
        if self._on_terminal:
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif time.monotonic() - self._told >= 30:
            self._told = time.monotonic()
            print(line, flush=True)

    def end(self, verdict: str) -> None:
        """Say how it went, and how long it took."""
        clear = "\r\033[K" if self._on_terminal else ""
        print(f"{clear}  {verdict} after {self._elapsed()}", flush=True)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._begun)
        return f"{seconds // 60}:{seconds % 60:02d}"


def run_step(title: str, command: list[str], *, log_path: Path, env: dict[str, str]) -> None:
    """Run a command to its end, showing progress, with its output in a log.

    Raises:
        SetUpError: it failed; the message holds the last lines of its output and the log's path.
    """
    progress = Progress(title)
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        reader = threading.Thread(target=_read, args=(process.stdout, log_path, progress))
        reader.start()
        while reader.is_alive():
            reader.join(timeout=1)
            progress.tick()
    failed = process.returncode != 0
    progress.end("failed" if failed else "done")
    if failed:
        lines = [line for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
        last = "".join(f"\n    {line}" for line in lines[-8:])
        raise SetUpError(f"{title} has failed. The last lines of {log_path}:{last}")


def _read(output: IO[bytes], log_path: Path, progress: Progress) -> None:
    """Copy a command's output to a log, and tell what it is about."""
    with log_path.open("wb") as log:
        for line in output:
            log.write(line)
            for pattern, activity in _ACTIVITIES:
                match = pattern.match(line.decode(errors="replace"))
                if match:
                    progress.activity = activity.format(*match.groups())


def suitable_python() -> str:
    """The path of a Python that is new enough and can make virtual environments.

    Raises:
        SetUpError: this machine has none.
    """
    lacks_venv = ""
    for name in [sys.executable, "python3", *(f"python3.{minor}" for minor in range(OLDEST_PYTHON[1], 20))]:
        path = shutil.which(name)
        if path is None:
            continue
        question = "import sys, importlib.util as u; print(*sys.version_info[:2], int(bool(u.find_spec('ensurepip'))))"
        answer = subprocess.run([path, "-c", question], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if answer.returncode != 0:
            continue  # such as a shim of pyenv for a version that is not chosen
        major, minor, has_ensurepip = (int(word) for word in answer.stdout.split())
        if (major, minor) >= OLDEST_PYTHON:
            if has_ensurepip:
                return path
            lacks_venv = lacks_venv or f"python{major}.{minor}"
    if lacks_venv:
        raise SetUpError(f"{lacks_venv} cannot make virtual environments: apt install {lacks_venv}-venv")
    raise SetUpError(
        f"Polygraft needs Python 3.11 or newer; python3 here is {sys.version.split()[0]}. "
        "Install a newer one, or name it: make run PYTHON=/path/to/python3.12"
    )


def require_compiler() -> None:
    """Check for what llama-cpp-python needs to compile llama.cpp and no package brings (CMake comes from one).

    Raises:
        SetUpError: there is no C or no C++ compiler.
    """
    for variable, names in (("CC", ["cc", "gcc", "clang"]), ("CXX", ["c++", "g++", "clang++"])):
        chosen = os.environ.get(variable, "").split()[:1]
        if not any(shutil.which(name) for name in chosen or names):
            raise SetUpError("No C++ compiler, which llama-cpp-python needs to compile: apt install build-essential")


def require_disk() -> None:
    """Check for room.

    Raises:
        SetUpError: the disk is too full.
    """
    free = shutil.disk_usage(ROOT).free / 1024**3
    if free < DISK_GIB:
        raise SetUpError(f"Set-up needs {DISK_GIB} GiB of free disk under {ROOT}, where {free:.1f} GiB are left.")


def needed_extras(*, for_tests: bool) -> set[str]:
    """The extras of pyproject.toml that this machine needs."""
    extras = set(TEST_EXTRAS if for_tests else RUN_EXTRAS)
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        extras.add("postgres")
    if redis_on_path() is None and (for_tests or not os.environ.get("REDIS_URL")):
        extras.add("redis-server")
    if not _front_end_is_current() and not _has_node():
        extras.add("node")
    return extras


def require_free_port() -> None:
    """Check what the launcher will check again, before minutes are spent on set-up.

    Raises:
        SetUpError: the platform could not listen on its port.
    """
    port = os.environ.get("POLYGRAFT_PORT", "8000")
    problem = port_problem(os.environ.get("POLYGRAFT_HOST", "127.0.0.1"), int(port)) if port.isdigit() else None
    if problem:
        raise SetUpError(problem)


def install_python_packages(extras: set[str]) -> None:
    """Make `.venv` hold Polygraft with these extras; there is nothing to do if it does already."""
    stamp = VENV / "polygraft-setup.json"
    wanted = _fingerprint(ROOT / "pyproject.toml", ROOT / "constraints.txt")
    found = json.loads(stamp.read_text()) if stamp.exists() and VENV_PYTHON.exists() else {"extras": []}
    if found.get("fingerprint") == wanted and extras <= set(found["extras"]):
        return
    if not _works(str(VENV_PYTHON), "-m", "pip", "--version"):
        python = suitable_python()
        print(f"• Making .venv with {python}", flush=True)
        if not _works(python, "-m", "venv", "--clear", str(VENV)):
            raise SetUpError(f"Python could not make {VENV}. This shows why: {python} -m venv --clear {VENV}")
    extras |= set(found["extras"])
    if _has_python_headers():
        extras.add("c-parser")
    else:
        print("• Python.h is not here (python3-dev brings it): gunicorn's parser in C is left out", flush=True)
    run_step(
        "Installing Python packages",
        [
            *(str(VENV_PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar", "off"),
            *("--constraint", str(ROOT / "constraints.txt")),
            *("--editable", f"{ROOT}[{','.join(sorted(extras))}]"),
        ],
        log_path=VENV / "pip.log",
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    stamp.write_text(json.dumps({"fingerprint": wanted, "extras": sorted(extras)}))


def install_front_end() -> None:
    """Make `node_modules` hold what the lock file says; there is nothing to do if it does already."""
    if _front_end_is_current():
        return
    path = os.environ["PATH"]
    run_step(
        "Installing front-end packages",
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        log_path=VENV / "npm.log",
        env={**os.environ, "PATH": path if _has_node() else f"{VENV / 'bin'}:{path}"},
    )
    _front_end_stamp().write_text(_front_end_fingerprint())


def _front_end_stamp() -> Path:
    return NODE_MODULES / ".polygraft-setup"


def _front_end_fingerprint() -> str:
    return _fingerprint(ROOT / "package.json", ROOT / "package-lock.json")


def _front_end_is_current() -> bool:
    return _front_end_stamp().exists() and _front_end_stamp().read_text() == _front_end_fingerprint()


def _has_node() -> bool:
    """Whether PATH has an npm, and a Node that is new enough for it."""
    if not _works("npm", "--version"):
        return False
    answer = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=False).stdout.decode()
    match = re.match(r"v(\d+)\.", answer)
    return match is not None and int(match[1]) >= OLDEST_NODE


def _has_python_headers() -> bool:
    question = "import os, sysconfig; os.stat(os.path.join(sysconfig.get_config_var('INCLUDEPY'), 'Python.h'))"
    return _works(str(VENV_PYTHON), "-c", question)


def _works(*command: str) -> bool:
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _fingerprint(*paths: Path) -> str:
    """What changes when one of these files or the checkout's place does: environments hold absolute paths."""
    return hashlib.sha256(b"\0".join([str(ROOT).encode(), *(path.read_bytes() for path in paths)])).hexdigest()


def main(argv: list[str]) -> int:
    """Set up, and say what went wrong in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for-tests", action="store_true", help="install what the tests need, too")
    arguments = parser.parse_args(argv)
    checkout = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(checkout, fcntl.LOCK_EX)  # `make run` and `make test` may be started at the same time
        if not any(VENV.glob("lib/python*/site-packages/llama_cpp")):
            # What would stop set-up or the launcher minutes later.
            suitable_python()
            require_compiler()
            require_disk()
            if not arguments.for_tests:
                require_free_port()
        install_python_packages(needed_extras(for_tests=arguments.for_tests))
        install_front_end()
    except (SetUpError, OSError) as error:
        print(f"Set-up stopped. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up was interrupted; it goes on from here the next time.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
