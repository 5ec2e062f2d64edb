"""Static files are collected when there is something new to collect."""

from pathlib import Path

import pytest
from pytest_django import Settings

from polygraft.local.static_files import static_collect


@pytest.fixture
def source(tmp_path: Path, settings: Settings) -> Path:
    """A folder of static files beside those of the apps, which are collected into `home/static`."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "page.css").write_text("body { color: black }")
    (tmp_path / "home").mkdir()
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "home" / "static"
    return folder


def test_what_is_unchanged_is_not_collected_again(source: Path, tmp_path: Path) -> None:
    static_collect()
    collected = tmp_path / "home" / "static" / "page.css"
    assert collected.read_text() == "body { color: black }"
    collected.write_text("left alone")
    static_collect()
    assert collected.read_text() == "left alone"


def test_changed_and_removed_files_are_taken_account_of(source: Path, tmp_path: Path) -> None:
    (source / "old.css").write_text("p { color: red }")
    static_collect()
    (source / "page.css").write_text("body { color: white; background: black }")
    (source / "old.css").unlink()
    static_collect()
    collected = tmp_path / "home" / "static"
    assert (collected / "page.css").read_text() == "body { color: white; background: black }"
    assert not (collected / "old.css").exists()


def test_a_folder_that_was_deleted_is_filled_again(source: Path, tmp_path: Path) -> None:
    static_collect()
    (tmp_path / "home" / "static" / "page.css").unlink()
    (tmp_path / "home" / "static").rename(tmp_path / "elsewhere")
    static_collect()
    assert (tmp_path / "home" / "static" / "page.css").exists()
