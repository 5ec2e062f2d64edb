"""The benchmark of metering, in small: no record is lost or doubled, whatever is killed."""

import os
import subprocess
import sys

from polygraft.conf import ROOT


def test_with_engines_a_gateway_and_redis_killed_every_request_has_one_record_with_the_engines_count() -> None:
    command = [sys.executable, "bench/metering.py", "--requests", "1500"]
    outcome = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-4000:]
    for trouble in ("an engine was killed", "a gateway process was killed", "Redis was killed"):
        assert trouble in outcome.stdout
