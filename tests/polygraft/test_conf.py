"""Settings from the environment."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from polygraft.conf import Config


def test_the_embedded_defaults_need_no_variable(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    assert config.resolved_database_url == f"sqlite:///{tmp_path}/polygraft.sqlite3"
    assert config.base_url == "http://127.0.0.1:8000"


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYGRAFT_SECRET_KEY")
    secret = Config(home=tmp_path).resolved_secret_key
    assert len(secret) >= 50
    assert Config(home=tmp_path).resolved_secret_key == secret
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_celery_reaches_redis_on_a_unix_socket_too() -> None:
    assert Config(redis_url="unix:///run/redis.sock").broker_url == "redis+socket:///run/redis.sock"
    assert Config(redis_url="redis://cache:6379/1").broker_url == "redis://cache:6379/1"


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_ALLOWED_HOSTS", "llm.example.org, localhost")
    assert Config().allowed_hosts == ["llm.example.org", "localhost"]


@pytest.mark.parametrize(
    ("host", "called"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::", "[::1]"), ("fd00::7", "[fd00::7]")],
)
def test_the_address_shown_to_people_can_be_called(host: str, called: str) -> None:
    assert Config(host=host, port=8080).base_url == f"http://{called}:8080"


@pytest.mark.parametrize(("name", "value"), [("DATABASE_URL", "mysql://x"), ("REDIS_URL", "nonsense")])
def test_an_unknown_kind_of_server_fails_at_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match="must begin with one of"):
        Config()


@pytest.mark.parametrize(("name", "value"), [("PORT", "0"), ("PORT", "http"), ("LOG_FORMAT", "xml"), ("HTTPS", "?")])
def test_a_senseless_value_fails_at_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"POLYGRAFT_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Config()
