"""What an upload's examination says: findings that the person who trained the adapter can act on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

# A thousand tensors with one mistake are one mistake: a report stays readable.
SHOWN_PER_CHECK = 12


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or odd: which check saw it, where, what it expected and what to do."""

    check: str
    severity: Severity
    message: str
    file: str = ""
    tensor: str = ""
    expected: str = ""
    found: str = ""
    advice: str = ""


@dataclass
class Report:
    """All findings about one upload, and the facts learnt on the way; `facts` is ready for JSON."""

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the adapter may be served: warnings alone do not stop it."""
        return not any(finding.severity == "error" for finding in self.findings)

    def error(self, check: str, message: str, **where: str) -> None:
        """Add a finding that rejects the upload; `where` holds file, tensor, expected, found, advice."""
        self.findings.append(Finding(check=check, severity="error", message=message, **where))

    def warning(self, check: str, message: str, **where: str) -> None:
        """Add a finding that the uploader should read, but that rejects nothing."""
        self.findings.append(Finding(check=check, severity="warning", message=message, **where))

    def as_json(self) -> dict[str, Any]:
        """Return {"ok", "findings", "omitted", "facts"}: errors first; `omitted` counts, by check, those not shown."""
        counts: Counter[str] = Counter()
        shown = []
        for finding in sorted(self.findings, key=lambda finding: finding.severity):
            counts[finding.check] += 1
            if counts[finding.check] <= SHOWN_PER_CHECK:
                shown.append(asdict(finding))
        omitted: Mapping[str, int] = {
            check: count - SHOWN_PER_CHECK for check, count in counts.items() if count > SHOWN_PER_CHECK
        }
        return {"ok": self.ok, "findings": shown, "omitted": omitted, "facts": self.facts}


class Rejected(Exception):
    """The upload cannot be examined any further; `finding` says why."""

    def __init__(self, check: str, message: str, **where: str) -> None:
        super().__init__(message)
        self.finding = Finding(check=check, severity="error", message=message, **where)

    def as_report(self) -> Report:
        """Return a report that holds the one finding."""
        return Report(findings=[self.finding])


def shown(value: object, longest: int = 120) -> str:
    """Return what a stranger sent in a form fit for a message: printable, and cut when long."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value)[: longest + 1])
    return text if len(text) <= longest else text[:longest] + "…"


def shown_shape(shape: tuple[int, ...]) -> str:
    """Return a tensor's shape as people write it: (576, 8)."""
    return "(" + ", ".join(str(size) for size in shape) + ")"
