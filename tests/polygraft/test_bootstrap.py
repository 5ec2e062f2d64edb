"""Set-up finds what a machine has, says what it lacks, and does nothing twice."""

import ast
import json
import os
import socket
import sys
from pathlib import Path

import pytest

import bootstrap
from polygraft.local import ports, redis_program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for variable in ("CC", "CXX", "REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    return folder


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an environment whose Python writes down what it is asked to do, and has no headers."""
    root = tmp_path / "checkout"
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    _program(
        python,
        f'echo "$@" >> {root}/asked; [ ! -e {root}/fail ] || {{ echo no network; exit 1; }}; '
        f'case "$*" in *Python.h*) [ -e {root}/headers ];; esac',
    )
    for name in ("pyproject.toml", "constraints.txt", "package.json", "package-lock.json"):
        (root / name).touch()
    for name, value in (("ROOT", root), ("VENV", root / ".venv"), ("VENV_PYTHON", python)):
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr(bootstrap, "NODE_MODULES", root / "node_modules")
    return root


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _installs(checkout: Path) -> list[str]:
    """What pip was asked to install, without its options."""
    asked = checkout / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    return [line.rsplit("[", 1)[1].rstrip("]") for line in lines if "pip install" in line]


@pytest.mark.parametrize("module", [bootstrap, ports, redis_program])
def test_an_old_python_understands_it_well_enough_to_say_that_it_is_old(module: object) -> None:
    source = Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]
    ast.parse(source, feature_version=(3, 8))


def test_a_newer_python_is_found_beside_an_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(path / "python3"))
    _program(path / "python3", "echo 3 9 1")
    _program(path / "python3.11", "exit 1")  # a shim whose Python is not there
    _program(path / "python3.12", "echo 3 12 1")
    assert bootstrap.suitable_python() == str(path / "python3.12")


def test_only_old_pythons_are_refused_with_a_way_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(path / "python3"))
    _program(path / "python3", "echo 3 9 1")
    with pytest.raises(bootstrap.SetUpError, match=r"Python 3\.11 or newer.*PYTHON="):
        bootstrap.suitable_python()


def test_a_python_without_its_venv_package_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(path / "python3"))
    _program(path / "python3", "echo 3 11 0")
    with pytest.raises(bootstrap.SetUpError, match=r"apt install python3\.11-venv"):
        bootstrap.suitable_python()


def test_a_missing_compiler_is_said_in_a_line(path: Path) -> None:
    _program(path / "gcc", "true")
    with pytest.raises(bootstrap.SetUpError, match="apt install build-essential") as refusal:
        bootstrap.require_compiler()
    assert "\n" not in str(refusal.value)


def test_a_compiler_by_another_name_is_a_compiler(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, name in (("CC", "gcc-12"), ("CXX", "g++-12")):
        _program(path / name, "true")
        monkeypatch.setenv(variable, f"{name} -pipe")
    bootstrap.require_compiler()


def test_what_tests_have_needs_nothing_more_to_run(checkout: Path, path: Path) -> None:
    assert bootstrap.needed_extras(for_tests=False) <= bootstrap.needed_extras(for_tests=True)


def test_redis_comes_from_a_package_only_where_there_is_none(
    checkout: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "redis-server" in bootstrap.needed_extras(for_tests=False)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert "redis-server" not in bootstrap.needed_extras(for_tests=False)
    assert "redis-server" in bootstrap.needed_extras(for_tests=True)
    _program(path / "redis-server", "echo Redis server v=7.0.15 sha=0")
    assert "redis-server" not in bootstrap.needed_extras(for_tests=True)


def test_what_is_installed_is_not_installed_again(checkout: Path) -> None:
    bootstrap.install_python_packages({"demo"})
    bootstrap.install_python_packages({"demo"})
    assert _installs(checkout) == ["demo"]


def test_what_is_installed_for_the_tests_is_kept_for_the_run(checkout: Path) -> None:
    bootstrap.install_python_packages({"dev"})
    bootstrap.install_python_packages({"demo"})
    bootstrap.install_python_packages({"dev"})
    assert _installs(checkout) == ["dev", "demo,dev"]


def test_the_parser_in_c_is_left_out_only_where_pythons_headers_are_missing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.install_python_packages({"demo"})
    assert "python3-dev" in capsys.readouterr().out
    (checkout / "headers").touch()
    bootstrap.install_python_packages({"dev"})
    assert _installs(checkout) == ["demo", "c-parser,demo,dev"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(name: str, checkout: Path) -> None:
    bootstrap.install_python_packages({"demo"})
    (checkout / name).write_text("changed")
    bootstrap.install_python_packages({"demo"})
    assert _installs(checkout) == ["demo", "demo"]


def test_a_failed_installation_shows_its_last_lines_and_is_tried_again(checkout: Path) -> None:
    (checkout / "fail").touch()
    with pytest.raises(bootstrap.SetUpError, match=rf"{checkout}/.venv/pip.log:\n    no network"):
        bootstrap.run_step(
            "Installing", [str(bootstrap.VENV_PYTHON)], log_path=checkout / ".venv" / "pip.log", env=dict(os.environ)
        )
    assert not (checkout / ".venv" / "polygraft-setup.json").exists()
    (checkout / "fail").unlink()
    bootstrap.install_python_packages({"demo"})
    assert json.loads((checkout / ".venv" / "polygraft-setup.json").read_text())["extras"] == ["demo"]


def test_front_end_packages_are_installed_once(checkout: Path, path: Path) -> None:
    _program(path / "node", "echo v20.1.0")
    _program(
        path / "npm", f'[ "$1" = --version ] || {{ echo "$@" >> {checkout}/npm; /bin/mkdir {checkout}/node_modules; }}'
    )
    assert "node" not in bootstrap.needed_extras(for_tests=False)
    bootstrap.install_front_end()
    bootstrap.install_front_end()
    assert (checkout / "npm").read_text() == "ci --ignore-scripts --no-audit --no-fund\n"


@pytest.mark.parametrize("version", [None, "v16.20.0"])
def test_node_comes_from_a_package_where_there_is_none_or_an_old_one(
    version: str | None, checkout: Path, path: Path
) -> None:
    if version is not None:
        _program(path / "node", f"echo {version}")
        _program(path / "npm", "exit 1")
    _program(checkout / ".venv" / "bin" / "npm", f"/bin/mkdir {checkout}/node_modules")
    assert "node" in bootstrap.needed_extras(for_tests=False)
    bootstrap.install_front_end()
    assert "node" not in bootstrap.needed_extras(for_tests=False)


def test_a_busy_port_stops_set_up_before_anything_slow(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("POLYGRAFT_PORT", str(server.getsockname()[1]))
        assert bootstrap.main([]) == 1
    assert "is in use by another program" in capsys.readouterr().err
    assert _installs(checkout) == []


def test_tests_need_no_port(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "install_front_end", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("POLYGRAFT_PORT", str(server.getsockname()[1]))
        assert bootstrap.main(["--for-tests"]) == 0
    assert "dev" in _installs(checkout)[0].split(",")
