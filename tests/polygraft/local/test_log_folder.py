"""The engines' logs are followed."""

from pathlib import Path

from polygraft.local.log_folder import LogFolder


def test_only_what_is_added_is_shown(tmp_path: Path) -> None:
    (tmp_path / "engine-1.log").write_text("of an earlier run\n")
    logs = LogFolder(tmp_path)
    with (tmp_path / "engine-1.log").open("a") as log:
        log.write("added\n")
    (tmp_path / "engine-2.log").write_text("new file\n")
    assert list(logs.new_lines()) == ["added", "new file"]
    assert list(logs.new_lines()) == []


def test_a_line_is_shown_once_it_is_whole(tmp_path: Path) -> None:
    logs = LogFolder(tmp_path)
    path = tmp_path / "engine-1.log"
    path.write_text("first\nsec")
    assert list(logs.new_lines()) == ["first"]
    path.write_text("first\nsecond\n")
    assert list(logs.new_lines()) == ["second"]


def test_a_folder_that_does_not_exist_yet_is_no_trouble(tmp_path: Path) -> None:
    logs = LogFolder(tmp_path / "logs")
    assert list(logs.new_lines()) == []
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "engine-1.log").write_text("hello\n")
    assert list(logs.new_lines()) == ["hello"]


def test_a_file_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("long line of before\n")
    logs = LogFolder(tmp_path)
    path.write_text("new\n")
    assert list(logs.new_lines()) == ["new"]
