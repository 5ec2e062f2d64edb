"""Adds to a version's report that an engine would not answer through it."""

from typing import Any

from serving.adapters.examination.report import Finding


def probe_failed(report: dict[str, Any], reason: str) -> dict[str, Any]:
    """The report of a version whose checks passed and whose probe on a real engine failed.

    Args:
        report: as made by `Report.as_json`.
        reason: the engine's words.
    """
    finding = Finding(
        check="probe",
        severity="error",
        message="An engine could not answer through this adapter, though every check of its files passed.",
        found=reason,
        advice="Upload it again; if it fails again, ask the platform's admins, who see the engine's log.",
    )
    return {**report, "ok": False, "findings": [*report.get("findings", []), vars(finding)]}
