"""Lines of several parts share a terminal."""

import io

import pytest

from polygraft.local.console_output import ConsoleOutput


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_names_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    ConsoleOutput(terminal).line("web", "hello")
    assert terminal.getvalue() == "\x1b[36m[web]   \x1b[0m hello\x1b[0m\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    ConsoleOutput(terminal).line("worker", "\x1b[32mgreen\x1b[0m")
    assert terminal.getvalue() == "[worker] green\n"


def test_a_file_gets_no_colours() -> None:
    file = io.StringIO()
    ConsoleOutput(file).line("worker", "\x1b[1;32mgreen\x1b[0m")
    assert file.getvalue() == "[worker] green\n"
