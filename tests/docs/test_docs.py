"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from polygraft.configuration_table import render
from serving.gateway.app import gateway
from serving.gateway.errors import every_error

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_the_configuration_page_lists_every_setting_as_declared() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == render()


def test_the_api_page_lists_every_error_with_its_status_and_meaning() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    rows = [f"| {error.status} | `{error.code}` | {error.summary} |" for error in every_error()]
    assert [row for row in rows if row not in page] == []


def metric_names() -> set[str]:
    """Every metric of ours, as Prometheus shows it."""
    assert gateway, "its modules have registered their metrics"
    return {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("polygraft_")
    }


def test_the_operations_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in sorted(metric_names()) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("file", ["grafana/polygraft.json", "prometheus/alerts.yml"])
def test_dashboard_and_alerts_know_only_metrics_that_exist(file: str) -> None:
    used = set(re.findall(r"polygraft_[a-z_]+", (ROOT / "deploy" / file).read_text()))
    known = metric_names() | {f"{name}_bucket" for name in metric_names()}
    assert used
    assert used <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [target.split("#")[0] for target in _LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_the_readme_uses_only_make_targets_that_exist() -> None:
    targets = re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
