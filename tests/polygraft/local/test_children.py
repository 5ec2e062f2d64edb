"""The launcher's children are shown and watched, and never left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadline import wait_until
from processes import family, lives

PROGRAM = Path(__file__).with_name("small_launcher.py")
FOREVER = "while :; do sleep 1; done"


class SmallLauncher:
    """A running `small_launcher.py`, and what it has said so far."""

    def __init__(self, home: Path, *commands: str, prefix: tuple[str, ...] = ()) -> None:
        self._output = home / "output.txt"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(PROGRAM), str(home), *commands], stdout=output, stderr=output
            )

    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str) -> None:
        """Wait until it has said this."""
        wait_until(lambda: text in self.output() or None, what=f"{text!r} is in {self.output()!r}")

    def child(self, name: str) -> int:
        """Wait for a child's process id."""
        found = wait_until(
            lambda: re.search(rf"^child {name} (\d+)$", self.output(), re.MULTILINE), what=f"{name} lives"
        )
        return int(found[1])

    def ends(self) -> int:
        """Wait for its exit code."""
        return self.process.wait(timeout=60)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[list[SmallLauncher]]:
    """Launchers that a test has started; none outlives it."""
    launchers: list[SmallLauncher] = []
    yield launchers
    for launcher in launchers:
        if launcher.process.poll() is None:
            launcher.process.terminate()
            launcher.ends()


def _launch(launched: list[SmallLauncher], home: Path, *commands: str) -> SmallLauncher:
    launched.append(SmallLauncher(home, *commands))
    return launched[-1]


def _press(launcher: SmallLauncher) -> bool | None:
    """Press Ctrl-C once more; whether the launcher has ended before."""
    if launcher.process.poll() is not None:
        return True
    launcher.process.send_signal(signal.SIGINT)
    return False


def test_several_signals_at_once_are_no_hurry(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    politely = "trap 'sleep 0.2; echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.05; done"
    launcher = _launch(launched, tmp_path, "web", politely)
    launcher.says("[web]    hello")
    # Halted meanwhile, it finds them all at once, however long this takes.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCONT):
        launcher.process.send_signal(number)
    assert launcher.ends() == 0
    assert "[web]    goodbye" in launcher.output()


def test_each_line_carries_its_childs_name(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", f"echo one; {FOREVER}", "redis", f"echo two >&2; {FOREVER}")
    launcher.says("[web]    one\n")
    launcher.says("[redis]  two\n")


def test_colours_of_children_do_not_reach_a_file(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", rf"printf '\033[31mred\033[0m\n'; {FOREVER}")
    launcher.says("[web]    red\n")


def test_ctrl_c_ends_the_children_latest_first_and_counts_as_success(
    tmp_path: Path, launched: list[SmallLauncher]
) -> None:
    politely = "trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.05; done"
    launcher = _launch(launched, tmp_path, "redis", politely, "web", politely)
    launcher.says("[redis]  hello")
    launcher.says("[web]    hello")
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.ends() == 0
    assert re.findall(r"\[(\w+)\] +goodbye", launcher.output()) == ["web", "redis"]
    assert not any(lives(launcher.child(name)) for name in ("web", "redis"))


def test_children_do_not_hear_of_ctrl_c_themselves(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", FOREVER)
    assert os.getpgid(launcher.child("web")) != os.getpgid(launcher.process.pid)


def test_a_child_that_ends_stops_the_rest_and_is_named_with_its_last_words(
    tmp_path: Path, launched: list[SmallLauncher]
) -> None:
    launcher = _launch(launched, tmp_path, "redis", FOREVER, "web", "echo all is well; printf 'oh no'; exit 3")
    assert launcher.ends() == 1
    assert "stopped: web ended with exit code 3. Its last lines:\n    all is well\n    oh no\n" in launcher.output()
    assert not lives(launcher.child("redis"))


def test_a_child_that_was_killed_is_said_to_have_been(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", FOREVER)
    os.kill(launcher.child("web"), signal.SIGKILL)
    assert launcher.ends() == 1
    assert "stopped: web was ended by SIGKILL, without a word." in launcher.output()


def test_a_second_ctrl_c_kills_a_child_that_does_not_end(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", f"trap 'echo no' TERM; echo hello; {FOREVER}")
    launcher.says("[web]    hello")
    launcher.process.send_signal(signal.SIGINT)
    launcher.says("[web]    no")
    assert launcher.process.poll() is None
    # Pressed again and again, since one that follows at once does not count.
    wait_until(lambda: _press(launcher), what="the launcher has ended")
    assert launcher.ends() == 0
    assert "web does not end by itself and is killed." in launcher.output()
    assert not lives(launcher.child("web"))


def test_what_a_child_leaves_behind_is_swept_up(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", f"({FOREVER}) & echo left $!; wait")
    launcher.says("left ")
    left = int(launcher.output().split("left ")[1].split()[0])
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.ends() == 0
    assert not lives(left)


def test_a_killed_launcher_leaves_no_process(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "redis", FOREVER, "web", f"(echo hello; {FOREVER}) & wait")
    launcher.says("[web]    hello")
    everybody = family(launcher.process.pid)
    assert len(everybody) >= 5  # itself, its guard, two children, and a grandchild
    launcher.process.kill()
    launcher.ends()
    wait_until(lambda: not any(map(lives, everybody)) or None, what="all are gone")


def test_a_killed_guard_ends_everything(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    launcher = _launch(launched, tmp_path, "web", FOREVER)
    child = launcher.child("web")
    (guard,) = family(launcher.process.pid) - family(child) - {launcher.process.pid}
    os.kill(guard, signal.SIGKILL)
    assert launcher.ends() == 1
    assert "the guard ended" in launcher.output()
    assert not lives(child)


def test_a_reader_that_goes_away_does_not_end_the_platform(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    marker = tmp_path / "marker"
    command = f"while :; do echo line; [ -e {marker} ] && kill -INT $(ps -o ppid= $$); sleep 0.02; done"
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(tmp_path / "home"), "web", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("child web")
        process.stdout.close()
        marker.touch()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""


def test_a_terminal_that_goes_away_ends_everything(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen([sys.executable, str(PROGRAM), str(tmp_path), "web", FOREVER], stdout=theirs) as process:
        os.close(theirs)
        found = wait_until(lambda: re.search(rb"^child web (\d+)", os.read(ours, 4096)), what="web lives")
        os.close(ours)
        assert process.wait(timeout=60) == 0
    assert not lives(int(found[1]))


def test_two_launchers_do_not_share_a_state_folder(tmp_path: Path, launched: list[SmallLauncher]) -> None:
    first = _launch(launched, tmp_path, "web", FOREVER)
    first.child("web")
    other = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), "web", FOREVER],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.returncode == 1
    assert f"Polygraft runs already with the state folder {tmp_path} (process {first.process.pid})" in other.stdout
