"""In CI a skipped test is a failure."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TESTS = """
import pytest

def test_that_runs():
    pass

@pytest.mark.xfail(raises=ZeroDivisionError)
def test_that_fails_as_expected():
    1 / 0

@pytest.mark.skip(reason="marked")
def test_that_is_marked():
    pass

def test_that_gives_up():
    pytest.skip("gave up")
"""


def _run(file: Path, *options: str) -> tuple[int, str]:
    """The exit code and the output of pytest on a file, without this project's settings."""
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:cacheprovider", *options, str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return answer.returncode, answer.stdout


def test_tests_that_were_skipped_fail_and_say_why(tmp_path: Path) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(TESTS)
    code, output = _run(file, "-p", "tests.forbid_skips")
    assert code == 1
    # What is marked is skipped while it is set up, which pytest counts as an error.
    assert "1 failed, 1 passed, 1 xfailed, 1 error" in output
    for reason in ("marked", "gave up"):
        assert f"\nSkipped: {reason} (here nothing may be skipped)\n" in output


def test_a_file_that_was_skipped_as_a_whole_fails(tmp_path: Path) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text("import pytest\npytest.importorskip('no_such_module')\n")
    code, output = _run(file, "-p", "tests.forbid_skips")
    assert code != 0
    assert "no_such_module" in output


def test_elsewhere_skipping_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(TESTS)
    code, output = _run(file)
    assert code == 0
    assert "1 passed, 2 skipped, 1 xfailed" in output
