"""What every test has: the cast, and a broker that goes nowhere."""

from pathlib import Path

import pytest

from cast import Cast, make_cast
from polygraft.celery import app

TESTS = Path(__file__).parent
WHOLE_PLATFORMS = {"e2e", "polygraft"}


@pytest.fixture
def cast(db: None) -> Cast:
    """Everybody, see `cast.Cast`."""
    return make_cast()


@pytest.fixture(autouse=True)
def _tasks_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests have no worker; end-to-end tests start one, in a process of its own."""
    monkeypatch.setattr(app.conf, "broker_url", "memory://")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one of pytest's processes, and all that start a whole platform in the same one.

    The files share their fixtures; platforms side by side would starve each other's engines of the few cores.
    """
    for item in items:
        file = item.path.relative_to(TESTS)
        group = "platforms" if file.parts[0] in WHOLE_PLATFORMS else str(file)
        item.add_marker(pytest.mark.xdist_group(group))
