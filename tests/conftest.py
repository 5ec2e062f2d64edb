"""What every test has: the cast, and a broker that goes nowhere."""

import pytest

from cast import Cast, make_cast
from polygraft.celery import app


@pytest.fixture
def cast(db: None) -> Cast:
    """Everybody, see `cast.Cast`."""
    return make_cast()


@pytest.fixture(autouse=True)
def _tasks_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests have no worker; end-to-end tests start one, in a process of its own."""
    monkeypatch.setattr(app.conf, "broker_url", "memory://")
