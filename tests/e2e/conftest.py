"""One running platform for all end-to-end tests."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_platform import ROOT, Platform, free_port, start_platform, stop_platform
from running_services import Services, start_services, stop_services


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform that the tests share; each leaves the demo departments as it found them."""
    running = start_platform(tmp_path_factory.mktemp("platform"), free_port())
    yield running
    stop_platform(running)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The platform's parts as services, whose worker tests may restart."""
    running = start_services(tmp_path_factory.mktemp("services"))
    yield running
    stop_services(running)


@pytest.fixture
def adapter_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Copies of the demo adapters, for tests that change them."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(ROOT / "demo" / "adapters" / name, tmp_path / name))

    return copy
