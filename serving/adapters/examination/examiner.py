"""The process that examines uploads, each in a fork: told what on standard input, that prints a report as JSON."""

import errno
import json
import os
import pickle
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from serving.adapters.examination.peft_config import json_object
from serving.adapters.examination.process import NO_MEMORY, Examination
from serving.adapters.examination.provenance import provenance_facts
from serving.adapters.examination.report import Rejected, Report
from serving.adapters.examination.signatures import check_signatures
from serving.adapters.examination.validate import validate
from serving.adapters.reading.archive import unpack
from serving.adapters.reading.names import CONFIG

_STANDARD_FILES = 3
_OPEN_FILES = 64
_LONGEST_WISH = 16


def main() -> None:
    """Fork for each wish that the worker sends, and answer with how the fork ended, until the worker goes."""
    with socket.socket(fileno=sys.stdin.fileno()) as worker:
        while True:
            wall_seconds, files, _, _ = socket.recv_fds(worker, _LONGEST_WISH, _STANDARD_FILES)
            if not wall_seconds:
                return
            pid = os.fork()
            if pid == 0:
                _answer(files)
            for file in files:
                os.close(file)
            worker.send(str(_ending(pid, int(wall_seconds))).encode())


def _answer(files: Sequence[int]) -> NoReturn:
    """In the fork: examine one upload, within the bounds, with nothing open but its own files."""
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(_STANDARD_FILES, _OPEN_FILES)
        wish: Examination = pickle.load(sys.stdin.buffer)  # noqa: S301  # from our own worker; the upload is files
        _bind(wish)
        json.dump(_examine(wish).as_json(), sys.stdout)
        sys.stdout.flush()
        code = 0
    except Exception as error:  # noqa: BLE001  # the worker reads of all of them
        sys.excepthook(type(error), error, error.__traceback__)
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            code = NO_MEMORY
    finally:
        # Whatever happened, no fork goes on as if it were the process that forks.
        os._exit(code)


def _ending(pid: int, wall_seconds: int) -> int:
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], wall_seconds)[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


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
