"""`demo.json` is what scripts outside this repository read."""

import json
from pathlib import Path

import pytest

from polygraft.conf import config
from polygraft.local.demo_file import DemoFile, demo_file_path, demo_file_read, demo_file_write

DEMO = DemoFile(
    url="http://127.0.0.1:8000",
    username="admin",
    password="word",
    admin_token="pgt_1",
    api_keys={"support": "pg_1", "legal": "pg_2"},
    base_model="smollm2-135m-instruct",
)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "home", tmp_path)


def test_it_has_the_form_of_the_contract() -> None:
    demo_file_write(DEMO)
    assert json.loads(demo_file_path().read_text()) == {
        "url": "http://127.0.0.1:8000",
        "admin": {"username": "admin", "password": "word"},
        "admin_token": "pgt_1",
        "departments": {"support": {"api_key": "pg_1"}, "legal": {"api_key": "pg_2"}},
        "base_model": "smollm2-135m-instruct",
    }


def test_only_its_owner_can_read_it_even_where_it_was_open_before() -> None:
    demo_file_path().touch(mode=0o644)
    demo_file_write(DEMO)
    assert demo_file_path().stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_read() -> None:
    demo_file_write(DEMO)
    assert demo_file_read() == DEMO


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"url": 1}', '{"admin": 3}'])
def test_a_file_that_makes_no_sense_is_as_good_as_none(content: str) -> None:
    demo_file_path().write_text(content)
    assert demo_file_read() == DemoFile()
