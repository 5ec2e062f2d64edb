"""The process that examines one upload: told what on standard input, it prints a report as JSON."""

import json
import pickle
import resource
import sys
from contextlib import suppress

from serving.adapters.examination.peft_config import json_object
from serving.adapters.examination.process import Examination
from serving.adapters.examination.provenance import provenance_facts
from serving.adapters.examination.report import Rejected, Report
from serving.adapters.examination.signatures import check_signatures
from serving.adapters.examination.validate import validate
from serving.adapters.reading.archive import unpack
from serving.adapters.reading.names import CONFIG

_OPEN_FILES = 64


def main() -> None:
    """Examine it, within the bounds."""
    wish: Examination = pickle.load(sys.stdin.buffer)  # noqa: S301  # from our own worker; the upload is files
    _bind(wish)
    json.dump(_examine(wish).as_json(), sys.stdout)


def _bind(wish: Examination) -> None:
    """Give up what the examination must not need; there is no way back."""
    for what, limit in (
        (resource.RLIMIT_AS, wish.bounds.memory_bytes),
        (resource.RLIMIT_CPU, wish.bounds.seconds),
        (resource.RLIMIT_FSIZE, wish.limits.total_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def _examine(wish: Examination) -> Report:
    try:
        unpacked = unpack(wish.upload, wish.folder, wish.limits)
    except Rejected as rejected:
        return rejected.as_report()
    report = validate(wish.folder, wish.base, wish.limits, wish.aliases)
    report.facts["ignored_files"] = list(unpacked.ignored)
    if wish.signing_keys:
        check_signatures(wish.folder, unpacked.companions, wish.signing_keys, report)
    with suppress(Rejected):
        config = json_object(wish.folder / CONFIG, wish.limits)
        report.facts |= provenance_facts(config, unpacked.companions)
    return report


if __name__ == "__main__":
    main()
