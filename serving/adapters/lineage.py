"""Holds versions of one adapter against each other: which have the same bytes, and in what others differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, Q, Sum
from django.utils import timezone

from serving.models import Adapter, AdapterVersion, Outcome, UsageRecord

USED_DAYS = 30

# Facts of a report that versions are compared by, beside the keys of their configurations.
_FACTS = {
    "rank": "Rank",
    "alpha": "Alpha",
    "rank_stabilised": "Rank-stabilised",
    "target_modules": "Modules",
    "declared_base": "Trained on",
    "base_revision": "Base revision",
    "task": "Task",
    "peft_version": "PEFT",
    "datasets": "Datasets",
    "authors": "Authors",
    "license": "License",
    "dtypes": "Precision",
    "tensors": "Tensors",
}
# Told by the facts already.
_IN_FACTS = {
    *("r", "lora_alpha", "use_rslora", "target_modules", "base_model_name_or_path", "revision", "task_type"),
    "peft_version",
}


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a version relates to others of its adapter, by number and in words.

    `same_as` have the same bytes; `before` is the next older one whose files were read, and `differs_in` what of the
    training differs from it.
    """

    same_as: tuple[int, ...] = ()
    before: int | None = None
    differs_in: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The same for people; empty for a first version."""
        if self.same_as:
            noun = "version" if len(self.same_as) == 1 else "versions"
            return f"The same bytes as {noun} {', '.join(map(str, self.same_as))}."
        if self.before is None:
            return ""
        if not self.differs_in:
            return f"Trained as version {self.before} was; the weights differ."
        return f"Differs from version {self.before} in {', '.join(self.differs_in)}."


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a comparison: a property of both versions, as words."""

    group: str
    name: str
    values: tuple[str, str]

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.values[0] != self.values[1]


def lineages(adapter: Adapter, versions: Sequence[AdapterVersion]) -> dict[int, Lineage]:
    """Version number → lineage, for consecutive versions of an adapter, in two queries however many they are."""
    digests = list(adapter.versions.exclude(digest="").order_by("number").values_list("number", "digest"))
    lowest = min((version.number for version in versions), default=0)
    older = adapter.versions.exclude(digest="").filter(number__lt=lowest).order_by("-number").first()
    known = sorted((version for version in versions if version.digest), key=lambda version: version.number)
    before = dict(zip([version.number for version in known], [older, *known], strict=False))
    return {version.number: _lineage(version, before.get(version.number), digests) for version in versions}


def _lineage(version: AdapterVersion, before: AdapterVersion | None, digests: Sequence[tuple[int, str]]) -> Lineage:
    if not version.digest:
        return Lineage()
    return Lineage(
        same_as=tuple(number for number, digest in digests if digest == version.digest and number != version.number),
        before=before.number if before else None,
        differs_in=_training_differences(before, version) if before else (),
    )


def differences(first: AdapterVersion, second: AdapterVersion) -> list[Difference]:
    """Two versions of one adapter side by side: training, configuration, files, checks and use."""
    return [
        *_rows("Training", _training(first), _training(second)),
        *_rows("Configuration", _config(first), _config(second)),
        *_rows("Files", _files(first), _files(second)),
        *_rows("Checks", _checks(first), _checks(second)),
        *_rows(f"Use, {USED_DAYS} days", _use(first), _use(second)),
    ]


def _rows(group: str, first: dict[str, str], second: dict[str, str]) -> list[Difference]:
    return [Difference(group, name, (first.get(name, ""), second.get(name, ""))) for name in {**first, **second}]


def _training_differences(first: AdapterVersion, second: AdapterVersion) -> tuple[str, ...]:
    rows = [
        *_rows("", _training(first), _training(second)),
        *_rows("", _config(first), _config(second)),
    ]
    return tuple(row.name[:1].lower() + row.name[1:] if row.name.istitle() else row.name for row in rows if row.differs)


def _training(version: AdapterVersion) -> dict[str, str]:
    facts = version.report.get("facts", {})
    return {label: _in_words(facts[name]) for name, label in _FACTS.items() if facts.get(name) not in (None, "", [])}


def _config(version: AdapterVersion) -> dict[str, str]:
    config: dict[str, str] = version.report.get("facts", {}).get("config", {})
    return {key: value for key, value in config.items() if key not in _IN_FACTS}


def _files(version: AdapterVersion) -> dict[str, str]:
    facts = version.report.get("facts", {})
    digests = {f"{name}, SHA-256": digest for name, digest in facts.get("files", {}).items()}
    return {"Size": f"{version.size_bytes:,} bytes", "Digest": version.digest, **digests}


def _checks(version: AdapterVersion) -> dict[str, str]:
    findings = version.report.get("findings", [])
    said = {"State": version.state}
    for severity, label in (("error", "Problems"), ("warning", "Warnings")):
        said[label] = "; ".join(finding["message"] for finding in findings if finding["severity"] == severity) or "none"
    return said


def _use(version: AdapterVersion) -> dict[str, str]:
    used: dict[str, Any] = UsageRecord.objects.filter(
        adapter_version=version, at__gte=timezone.now() - timedelta(days=USED_DAYS)
    ).aggregate(
        requests=Count("pk"),
        failed=Count("pk", filter=Q(outcome__in=(Outcome.FAILED, Outcome.LOST))),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        first_token=Avg("first_token_ms"),
    )
    return {
        "Requests": f"{used['requests']:,}",
        "Failed": f"{used['failed']:,}",
        "Tokens in": f"{used['prompt'] or 0:,}",
        "Tokens out": f"{used['completion'] or 0:,}",
        "First token, mean": "" if used["first_token"] is None else f"{used['first_token']:.0f} ms",
    }


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
