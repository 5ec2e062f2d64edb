"""Examines an upload in a process of its own, with bounded memory and time: the bytes are a stranger's."""

import json
import pickle
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.adapters.examination.base_spec import BaseSpec
from serving.adapters.examination.report import Report
from serving.adapters.examination.warm import warm_examiner
from serving.adapters.reading.limits import MIB, Limits

# Waiting for a slow disk is not working: the clock on the wall may run on for longer than the processor's.
_WALL_FACTOR = 4
# Reports are cut to some kilobytes; more can only come from a process that was taken over.
_LONGEST_ANSWER = 4 * MIB
# The exit code of an examination that its bounds left no memory.
NO_MEMORY = 3
# What a machine that is shut down sends to every process.
_STOPPED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Bounds:
    """What an examination may take: seconds of processor time, bytes of address space."""

    seconds: int
    memory_bytes: int


@dataclass(frozen=True)
class Examination:
    """What is to be examined: an upload's folder, for a base model; its adapter's files come to lie in `folder`.

    With `signing_keys`, minisign public keys in base64, it must be signed with one of them.
    """

    upload: Path
    folder: Path
    base: BaseSpec
    limits: Limits
    bounds: Bounds
    aliases: Sequence[str] = ()
    signing_keys: Sequence[str] = ()


def examine_apart(wish: Examination) -> dict[str, Any]:
    """Return the report of an examination, in the shape of `Report.as_json`; what goes over the bounds is refused.

    Raises:
        InterruptedError: somebody stopped it, so it says nothing about the upload.
        RuntimeError: the examination itself is broken.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        pickle.dump(wish, told)
        told.seek(0)
        code = warm_examiner.run((told, answer, errors), wish.bounds.seconds * _WALL_FACTOR)
        if code == 0:
            answer.seek(0)
            report: dict[str, Any] = json.loads(answer.read(_LONGEST_ANSWER))
            return report
        errors.seek(0)
        said = errors.read(_LONGEST_ANSWER).decode(errors="replace")
    if -code in _STOPPED:
        raise InterruptedError("the examination was stopped")
    # Ended by another signal: the processor's time is up, or the wall's, or the kernel had no memory left.
    if code < 0 or code == NO_MEMORY:
        return _too_much(wish.bounds)
    raise RuntimeError(f"the examination failed: {said[-2000:]}")


def _too_much(bounds: Bounds) -> dict[str, Any]:
    report = Report()
    report.error(
        "resources",
        "The examination of the files took more time or memory than any adapter of the allowed size needs.",
        expected=f"at most {bounds.seconds} s and {bounds.memory_bytes // MIB} MiB",
        found="more",
        advice="Save the adapter again with PEFT's save_pretrained. If that does not help, ask the platform's admins.",
    )
    return report.as_json()
