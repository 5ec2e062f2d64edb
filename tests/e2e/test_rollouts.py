"""The benchmark of rollouts, in small, on the whole platform with real llama.cpp."""

import os
import subprocess
import sys

import pytest

from polygraft.conf import ROOT

pytestmark = pytest.mark.e2e


def test_ten_rollouts_and_rollbacks_under_traffic_fail_no_request_and_let_no_wrong_version_answer() -> None:
    command = [sys.executable, "bench/rollouts.py", "--changes", "12", "--rate", "6"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYGRAFT_")}
    outcome = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-4000:]
    assert "12 changes" in outcome.stdout
    assert outcome.stdout.count("  met: ") == 5
