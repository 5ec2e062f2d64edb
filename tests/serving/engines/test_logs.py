"""Engines' logs: kept short while they are written, and shown without secrets."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.engines import logs as logs_module
from serving.engines.logs import headline, last_words, log_shorten, log_tail, redacted


def test_a_long_log_is_moved_aside_and_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "_LONGEST_BYTES", 10)
    path = tmp_path / "engine.log"
    with path.open("ab") as log:
        writer = subprocess.Popen(
            [sys.executable, "-uc", "for line in iter(input, ''): print(line, flush=True)"],
            stdin=subprocess.PIPE,
            stdout=log,
            text=True,
        )
    assert writer.stdin is not None
    for generation in range(4):
        writer.stdin.write(f"generation {generation}\n")
        writer.stdin.flush()
        while not path.read_text().endswith("\n"):
            assert writer.poll() is None
        log_shorten(path)
    writer.stdin.write("\n")
    writer.stdin.close()
    writer.wait()
    assert path.read_text() == ""
    kept = {file.name: file.read_text() for file in tmp_path.iterdir() if file != path}
    assert kept == {"engine.log.1": "generation 3\n", "engine.log.2": "generation 2\n"}


def test_a_short_log_and_none_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    log_shorten(path)
    path.write_text("a line\n")
    log_shorten(path)
    assert [file.name for file in tmp_path.iterdir()] == ["engine.log"]


@pytest.mark.parametrize(
    "line",
    [
        "started with s3cr3t-of-this-engine",
        "Authorization: Bearer abcdefgh12345",
        "'authorization': 'bearer abcdefgh12345'",
        "key pg_B2EV3nRy3ERMG5SadOosRcThyPedNxms29VDWOgBEDH348F7x",
        "token hf_abcdefghijklmnop and sk-abcdefghijklmnop",
        "non-default args: {'api_key': ['s3cr3t-of-this-engine']}",
        "--api-key abcdefgh12345",
    ],
)
def test_secrets_are_hidden(line: str) -> None:
    shown = redacted(line, "s3cr3t-of-this-engine")
    for secret in ("s3cr3t", "abcdefgh", "B2EV3nRy3", "hf_", "sk-"):
        assert secret not in shown
    assert "[hidden]" in shown


def test_what_is_no_secret_is_shown() -> None:
    line = "INFO 127.0.0.1:43210 - POST /v1/completions lora-abababab 200 task-force risk-free"
    assert redacted(line, "s3cr3t") == line


def test_the_tail_of_a_log_is_bounded_and_begins_with_a_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert log_tail(path, "").splitlines() == [f"line {number}" for number in range(600, 1000)]
    monkeypatch.setattr(logs_module, "_TAIL_BYTES", 20)
    assert log_tail(path, "").splitlines() == ["line 998", "line 999"]
    assert log_tail(tmp_path / "none.log", "") == ""


def test_the_last_words_name_the_error_even_when_more_was_said_after_it() -> None:
    log = "\n".join(["start", "ValueError: too little memory", *(f"shutting down {step}" for step in range(6))])
    assert last_words(log).splitlines()[0] == "ValueError: too little memory"
    assert last_words(log).splitlines()[-1] == "shutting down 5"
    assert last_words("") == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("\nIt ended.\nTraceback:\n  line\nImportError: x\n", "It ended. … ImportError: x"),
        (
            "It ended.\nERROR Cannot start: no file\nShutting down\nBye",
            "It ended. … ERROR Cannot start: no file",
        ),
        ("It ended.\nERROR Cannot start\nINFO uvicorn.error: Bye", "It ended. … ERROR Cannot start"),
        ("It ended.\nShutting down\nBye", "It ended. … Bye"),
        ("It ended.", "It ended."),
        ("", ""),
    ],
)
def test_an_error_is_said_in_short_by_how_it_ended_and_what_names_the_cause(error: str, words: str) -> None:
    assert headline(error) == words
