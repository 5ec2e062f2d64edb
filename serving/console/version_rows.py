"""Versions of an adapter as its page shows them: state, share of the traffic, engines, and the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from serving.adapters.lineage import lineages
from serving.console.engine_rows import Registry
from serving.console.source_words import source_words
from serving.engines.names import engine_adapter_name
from serving.models import Adapter, AdapterVersion, VersionState

MOVING = (VersionState.UPLOADED, VersionState.VALIDATING)
_DELETABLE = (VersionState.READY, VersionState.ARCHIVED, VersionState.REJECTED)

# What a report's facts mean, in the order in which they are shown; the rest is for machines.
_FACTS = {
    "rank": "Rank",
    "alpha": "Alpha",
    "rank_stabilised": "Rank-stabilised",
    "target_modules": "Modules",
    "dtypes": "Precision",
    "tensors": "Tensors",
    "declared_base": "Trained on",
    "base_revision": "Base revision",
    "task": "Task",
    "datasets": "Datasets",
    "authors": "Authors",
    "license": "License",
    "peft_version": "PEFT",
    "signed_by": "Signed with",
    "ignored_files": "Left out",
}

# The steps of a version's way, and for each state how many of them lie behind it.
_STEPS = ("Uploaded", "Validating", "Ready")
_STEPS_DONE = {
    VersionState.UPLOADED: 1,
    VersionState.VALIDATING: 1,
    VersionState.READY: 3,
    VersionState.REJECTED: 1,
    VersionState.ARCHIVED: 3,
    VersionState.DELETED: 3,
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the way from upload to use; `state` is done, now, failed or ahead."""

    label: str
    state: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What one check found: its first finding in full, further ones of the same kind, and how many are not listed."""

    first: dict[str, Any]
    others: list[dict[str, Any]]
    omitted: int

    @property
    def more(self) -> int:
        """How many findings there are besides the first."""
        return len(self.others) + self.omitted


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version; `share` is its percentage of the bare name's traffic, `engines` how many hold it.

    `lineage` says in a sentence what it has in common with others.
    """

    version: AdapterVersion
    share: int
    engines: int
    errors: list[Problem]
    warnings: list[Problem]
    facts: list[tuple[str, str]]
    lineage: str

    @property
    def is_moving(self) -> bool:
        """Whether its state is about to change by itself."""
        return is_moving(self.version)

    @property
    def came_from(self) -> str:
        """Where it was imported from, in words; empty for an upload."""
        source = self.version.source
        return "" if source.get("kind", "upload") == "upload" else source_words(source)

    @property
    def may_go_live(self) -> bool:
        """Whether the bare name could mean it, and does not do so wholly yet."""
        return self.version.state == VersionState.READY and self.share < 100

    @property
    def may_be_deleted(self) -> bool:
        """Whether its state and the rollout allow it."""
        return not self.share and self.version.state in _DELETABLE

    @property
    def doing(self) -> str:
        """What happens to it right now, in words."""
        if self.version.state == VersionState.UPLOADED:
            return "Waiting for a worker"
        if self.version.state == VersionState.VALIDATING:
            if waits := self.version.report.get("waits"):
                return str(waits)
            return "Asking an engine to answer through it" if self.version.digest else "Checking the files"
        return ""

    @property
    def steps(self) -> list[Step]:
        """Its way so far."""
        done = _STEPS_DONE[VersionState(self.version.state)]
        steps = []
        for index, label in enumerate(_STEPS):
            state = "done" if index < done else "ahead"
            if index == done and self.version.state == VersionState.REJECTED:
                label, state = "Rejected", "failed"
            elif index == done and self.is_moving:
                state = "now"
            steps.append(Step(label, state))
        return steps[:2] if self.version.state == VersionState.REJECTED else steps


def is_moving(version: AdapterVersion) -> bool:
    """Whether a version's state is about to change by itself."""
    return version.state in MOVING


def version_rows(adapter: Adapter, versions: Iterable[AdapterVersion], known: Registry) -> list[VersionRow]:
    """The versions with what the rollout and the engines make of them."""
    holders = known.residents_by_name()
    versions = list(versions)
    related = lineages(adapter, versions)
    return [
        VersionRow(
            version=version,
            share=adapter.weights.get(version.number, 0),
            engines=holders[engine_adapter_name(version.digest)] if version.digest else 0,
            errors=_problems(version.report, "error"),
            warnings=_problems(version.report, "warning"),
            facts=_facts(version.report.get("facts", {})),
            lineage=related[version.number].sentence,
        )
        for version in versions
    ]


def _problems(report: dict[str, Any], severity: str) -> list[Problem]:
    by_check: dict[str, list[dict[str, Any]]] = {}
    for finding in report.get("findings", []):
        if finding["severity"] == severity:
            by_check.setdefault(finding["check"], []).append(finding)
    omitted = report.get("omitted", {})
    return [Problem(found[0], found[1:], omitted.get(check, 0)) for check, found in by_check.items()]


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(label, _in_words(facts[name])) for name, label in _FACTS.items() if facts.get(name)]


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "yes" if value is True else str(value)
