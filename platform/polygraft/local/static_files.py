"""Collects the static files, when there is something new to collect: compressing them takes seconds."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def static_collect() -> None:
    """Make STATIC_ROOT hold what the apps and node_modules hold now."""
    root = Path(settings.STATIC_ROOT)
    stamp = root.with_name("static-collected")
    wanted = _fingerprint()
    if root.is_dir() and stamp.exists() and stamp.read_text() == wanted:
        return
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp.write_text(wanted)


def _fingerprint() -> str:
    """What changes when a file does, or the way in which files are stored."""
    known = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            source = Path(storage.path(path))
            status = source.stat()
            known.update(f"{source}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return known.hexdigest()
