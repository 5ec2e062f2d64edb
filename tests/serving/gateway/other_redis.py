"""A Redis beside the one that all tests share, for those that take it away."""

import contextlib
import subprocess
from pathlib import Path

import redis

from deadline import wait_until
from polygraft import live
from polygraft.local.own_redis import redis_program


class OtherRedis:
    """A Redis without memory: what it knew is gone when it stops."""

    def __init__(self, folder: Path) -> None:
        program = redis_program()
        assert program is not None
        socket = folder / "other.sock"
        self.url = f"unix://{socket}"
        self.command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, what="the other Redis answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=60)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(live.redis_client().ping())
        return False
