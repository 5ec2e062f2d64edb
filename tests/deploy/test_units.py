"""The unit files are what systemd understands, start what exists, and leave engines alone."""

import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from polygraft.conf import ROOT, Config

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    parser.read(path)
    return parser


def test_there_is_a_unit_for_each_part() -> None:
    assert [path.stem for path in UNITS] == ["polygraft-beat", "polygraft-web", "polygraft-worker"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_what_this_checkout_has(path: Path) -> None:
    service = unit(path)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert (ROOT / ".venv" / "bin" / Path(program).name).exists()
    assert service["User"] == "polygraft"
    assert service["EnvironmentFile"] == "/etc/polygraft.env"
    assert {"polygraft.asgi:application", "polygraft.celery"} & set(words)


def test_stopping_the_worker_ends_neither_its_engines_nor_those_that_the_next_one_finds() -> None:
    service = unit(ROOT / "deploy" / "systemd" / "polygraft-worker.service")["Service"]
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"  # one engine without memory does not take the others along
    assert "PrivateTmp" not in service  # it would be taken away from running engines


def test_the_example_of_settings_names_settings_that_exist() -> None:
    known = {f"POLYGRAFT_{name.upper()}" for name in Config.model_fields} | {"DATABASE_URL", "REDIS_URL"}
    lines = (ROOT / "deploy" / "polygraft.env").read_text().splitlines()
    assert {line.partition("=")[0] for line in lines} <= known
