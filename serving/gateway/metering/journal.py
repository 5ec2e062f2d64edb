"""Notes every request in memory that outlives this process, so that what a killed gateway owed is still recorded.

A file per so many requests is mapped into memory: a note is a copy of some bytes, without a system call, and the kernel
keeps it when the process is killed. The record of a request is put together from its notes, so keeping them costs
little more than making the record. A living process holds a lock on its files; what is not locked is an orphan.
"""

import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import structlog

from serving.accounting.prices import FREE, Prices
from serving.gateway.call import Call

log = structlog.get_logger(__name__)

# An entry: its state in the first byte, the counts, then three notes, each a JSON object that ends with a line break.
_FREE, _ADMITTED, _COUNTED, _ENDED = range(4)
_COUNTS = struct.Struct("=3Q")
_COUNTS_AT, _ADMISSION, _WISH, _END, _ENTRY_BYTES = 8, 32, 288, 768, 1280
_ENTRIES = 2048
_FILE_BYTES = _ENTRIES * _ENTRY_BYTES
_LINE = orjson.OPT_APPEND_NEWLINE
_UNKNOWN = {"model": "", "engine_kind": "", "streamed": False}


class Entry:
    """The notes on one request, in the order of its way. Used again for another request once it is freed."""

    __slots__ = ("_admission", "_end", "_memory", "_place", "_pool", "_wish")

    def __init__(self, memory: mmap.mmap, place: int, pool: list["Entry"]) -> None:
        self._memory = memory
        self._place = place
        self._pool = pool
        self._admission = self._wish = self._end = b""

    def admitted(self, call: Call) -> None:
        """The request has a department that it is on the account of."""
        grant = call.grant
        assert grant is not None  # noqa: S101  # for the type checker
        fields = {
            "request_id": call.id,
            "at": call.arrived_at,
            "department_id": grant.department_id,
            "key_id": grant.key_id,
            "user_id": grant.user_id,
            "endpoint": call.endpoint,
        }
        self._admission = note = orjson.dumps(fields, option=_LINE)
        memory, place = self._memory, self._place
        memory[place + _ADMISSION : place + _ADMISSION + len(note)] = note
        memory[place + _WISH] = 0
        memory[place] = _ADMITTED

    def asked(self, call: Call) -> None:
        """It is known what was asked for, and of which engine; the last one of several counts."""
        target, engine = call.target, call.engine
        if target is not None and engine is not None:
            version, prices = target.adapter_version_id, target.prices
            note = _wish(target.name, target.base_model_id, version, prices, engine.kind, engine.id, call.streamed)
        elif target is not None:
            version, prices = target.adapter_version_id, target.prices
            note = _wish(target.name, target.base_model_id, version, prices, "", None, call.streamed)
        else:
            # What a caller made up may hold characters that a database refuses, and a whole batch with them.
            note = _wish(call.model if call.model.isprintable() else "", None, None, FREE, "", None, call.streamed)
        if len(note) > _END - _WISH:
            # Only a name that a caller made up is so long.
            note = _wish("", None, None, FREE, "", None, call.streamed)
        self._wish = note
        place = self._place + _WISH
        self._memory[place : place + len(note)] = note

    def counted(self, call: Call) -> None:
        """The engine has counted the tokens: from now on the client may have its whole answer."""
        memory, place = self._memory, self._place
        _COUNTS.pack_into(memory, place + _COUNTS_AT, call.prompt_tokens, call.cached_tokens, call.completion_tokens)
        memory[place] = _COUNTED

    def ended(self, call: Call) -> None:
        """The account is complete."""
        if call.engine is None:
            self.asked(call)
        fields = {
            "outcome": call.outcome,
            "status": call.status,
            "fallback": call.fallback,
            "prompt_tokens": call.prompt_tokens,
            "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens,
            "first_token_ms": call.first_token_ms,
            "queue_ms": call.queue_seconds * 1000 or None,
            "duration_ms": call.duration * 1000,
        }
        self._end = note = orjson.dumps(fields, option=_LINE)
        memory, place = self._memory, self._place
        memory[place + _END : place + _END + len(note)] = note
        memory[place] = _ENDED

    def record(self) -> bytes:
        """The fields of `serving.models.UsageRecord` as JSON: ids for relations, `at` in Unix seconds, and for the cost
        the `prices` of a million tokens.
        """
        return b"%b,%b,%b" % (self._admission[:-2], self._wish[1:-2], self._end[1:-1])

    def free(self) -> None:
        """The record is safe elsewhere."""
        self._memory[self._place] = _FREE
        self._pool.append(self)


@lru_cache(maxsize=4096)
def _wish(
    model: str,
    base_model_id: int | None,
    adapter_version_id: int | None,
    prices: Prices,
    engine_kind: str,
    engine_id: str | None,
    streamed: bool,
) -> bytes:
    fields = {
        "model": model,
        "base_model_id": base_model_id,
        "adapter_version_id": adapter_version_id,
        # As they are now: whoever stores the record works out what it cost.
        "prices": [str(prices.prompt), str(prices.cached), str(prices.completion)],
        "engine_kind": engine_kind,
        "engine_id": engine_id,
        "streamed": streamed,
    }
    return orjson.dumps(fields, option=_LINE)


class Journal:
    """This process's entries, and those of processes that are no more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool: list[Entry] = []
        self._paths: list[Path] = []
        self._size = 0

    def open(self, call: Call) -> Entry:
        """An entry for a call that has just been admitted."""
        if not self._pool:
            self._extend()
        entry = self._pool.pop()
        entry.admitted(call)
        return entry

    def close(self) -> None:
        """Leave nothing behind, unless something is still owed: then another process takes it up after this one."""
        if len(self._pool) == self._size:
            for path in self._paths:
                path.unlink(missing_ok=True)
            self._paths.clear()

    @contextmanager
    def claim_orphan(self) -> Iterator[list[bytes] | None]:
        """The records of one orphaned file, for the length of a block that takes them elsewhere; None without one.

        The file is deleted when the block ends well. No other process can claim it meanwhile.
        """
        for path in sorted(self._folder.glob("*.journal")):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # another process has just finished it
            try:
                if not _lock(descriptor):
                    continue
                yield list(_records(path.read_bytes()))
                path.unlink()
                return
            finally:
                os.close(descriptor)
        yield None

    def _extend(self) -> None:
        try:
            memory = self._map_file()
        except OSError:
            log.exception("journal.failed")
            memory = mmap.mmap(-1, _FILE_BYTES)
        self._pool += [Entry(memory, number * _ENTRY_BYTES, self._pool) for number in reversed(range(_ENTRIES))]
        self._size += _ENTRIES

    def _map_file(self) -> mmap.mmap:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}.journal"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Another process may have taken it for an orphan before it was locked.
            if not _lock(descriptor):
                return self._map_file()
            # Room that was only promised would end the process, should the disk be full when it is written to.
            os.posix_fallocate(descriptor, 0, _FILE_BYTES)
            # The map keeps the file open, and with that locked, until this process ends.
            memory = mmap.mmap(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
        self._paths.append(path)
        return memory


def _lock(descriptor: int) -> bool:
    """Whether the file is ours now, and still has a name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _records(file: bytes) -> Iterator[bytes]:
    """What the entries of a file that are not free say of their requests."""
    for place in range(0, len(file), _ENTRY_BYTES):
        state = file[place]
        if state == _FREE:
            continue
        # What was being written when the process was killed may be half there.
        with suppress(ValueError):
            record = _read(file, place + _ADMISSION)
            record |= _UNKNOWN if file[place + _WISH] == 0 else _read(file, place + _WISH)
            if state == _ENDED:
                record |= _read(file, place + _END)
            else:
                record |= {"outcome": "lost", "status": 0, "duration_ms": 0.0}
            if state == _COUNTED:
                counts = _COUNTS.unpack_from(file, place + _COUNTS_AT)
                record |= zip(("prompt_tokens", "cached_tokens", "completion_tokens"), counts, strict=True)
            yield orjson.dumps(record)


def _read(file: bytes, start: int) -> dict[str, Any]:
    note: dict[str, Any] = orjson.loads(file[start : file.index(b"\n", start)])
    return note
