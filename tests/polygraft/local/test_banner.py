"""What is shown when everything runs."""

import pytest

from polygraft.conf import config
from polygraft.local.banner import banner
from polygraft.local.demo_file import DemoFile

DEMO = DemoFile(
    url="http://127.0.0.1:8000",
    username="admin",
    password="a-password",
    api_keys={"support": "pg_support", "legal": "pg_legal"},
)


def test_it_shows_the_way_in_the_keys_and_a_request_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "port", 8123)
    text = "\n".join(banner(DEMO, seconds=7.04))
    assert "Ready after 7.0 s" in text
    for shown in ("http://127.0.0.1:8000", "admin  a-password", "pg_support", "pg_legal"):
        assert shown in text
    assert '\ncurl http://127.0.0.1:8123/v1/chat/completions \\\n  -H "Authorization: Bearer pg_support" \\\n' in text


def test_a_changed_password_is_not_invented() -> None:
    DEMO.password = ""
    assert any("the password that you have chosen" in line for line in banner(DEMO, seconds=1))
