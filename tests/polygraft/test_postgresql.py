"""What the tests say of the database on SQLite holds on PostgreSQL, too: a real server runs them once more."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The tests whose services lock, count, number or bulk-write.
SUITES = [
    "tests/tenants",
    "tests/serving/accounting/test_usage.py",
    "tests/serving/fleet/test_reconciler.py",
    "tests/serving/fleet/test_reconciler_room.py",
    "tests/serving/fleet/reconcilers_at_once.py",
    "tests/serving/adapters/uploads_at_once.py",
    "tests/serving/rollouts",
    "tests/serving/comparisons",
    "tests/serving/test_feedback.py",
    "tests/serving/adapters/test_intake.py",
    "tests/serving/adapters/test_retention.py",
    "tests/serving/adapters/test_retirement.py",
    "tests/serving/adapters/test_sharing.py",
    "tests/serving/adapters/test_sweep.py",
]


def _program(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a PostgreSQL of our own, on a Unix socket."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    # PostgreSQL refuses to run as root.
    as_somebody = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if as_somebody:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        _run([*as_somebody, initdb, "-D", data, "-U", "tests", "--auth=trust", "--no-sync"])
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        _run([*as_somebody, pg_ctl, "-D", data, "-w", "-o", options, "-l", f"{folder}/log", "start"])
        yield f"postgres://tests@{folder.replace('/', '%2F')}/postgres"
        _run([*as_somebody, pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"])


def _run(command: list[str]) -> None:
    # Into a folder that the other user may enter.
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_services_hold_on_postgresql(server: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *SUITES],
        cwd=ROOT,
        env=environment | {"POLYGRAFT_TESTS_DATABASE_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
