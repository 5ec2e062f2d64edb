"""What every test has: the cast, and a broker that goes nowhere."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from cast import Cast, make_cast
from polygraft.celery import app

WHOLE_PLATFORMS = ("tests/e2e/", "tests/polygraft/")


@pytest.fixture
def cast(db: None) -> Cast:
    """Everybody, see `cast.Cast`."""
    return make_cast()


@pytest.fixture(autouse=True)
def _tasks_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests have no worker; end-to-end tests start one, in a process of its own."""
    monkeypatch.setattr(app.conf, "broker_url", "memory://")


class FilesApart(LoadScopeScheduling):
    """Keeps a file's tests in one of pytest's processes, and all that start a whole platform in the same one.

    The files share their fixtures; platforms side by side would starve each other's engines of the few cores. What
    starts whole platforms takes longest, and so comes first.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "platforms" if file.startswith(WHOLE_PLATFORMS) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """How the tests are divided when pytest runs them in several processes."""
    config.option.loadscopereorder = False  # by the number of tests, which says nothing of how long they take
    return FilesApart(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole platforms first, in several processes; a single one begins with what is quick."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(WHOLE_PLATFORMS))
