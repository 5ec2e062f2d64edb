"""`python -m serving.engines.llamacpp`: starts the host, serves until SIGTERM, drains, and exits 0."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from .errors import HostError
from .host import Host
from .model import ModelUnreadable
from .options import Options, options_parse
from .server import make_app

_log = logging.getLogger("serving.engines.llamacpp")


class _Server(uvicorn.Server):
    """uvicorn, with our own handling of signals: its own would end the process by SIGTERM, not with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        yield

    def _drain(self) -> None:
        self.should_exit = True


async def _serve(options: Options, secret: str | None) -> int:
    try:
        listener = socket.create_server((options.host, options.port), backlog=1024)
    except OSError as error:
        _log.error("Cannot listen on %s:%d: %s", options.host, options.port, error.strerror)
        return 1
    host = Host(options)
    server = _Server(
        uvicorn.Config(
            make_app(host, secret),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=options.drain_timeout,
        )
    )
    opening = asyncio.create_task(_open(host, server, listener))
    await server.serve(sockets=[listener])
    await host.close()
    opening.cancel()
    try:
        return await opening
    except asyncio.CancelledError:
        return 0


async def _open(host: Host, server: uvicorn.Server, listener: socket.socket) -> int:
    """Loads, says when it is ready, and takes the server down if the compute thread dies; an exit status."""
    try:
        await host.open()
        address, port = listener.getsockname()[:2]
        sys.stdout.write(f"Serving {host.options.served_model_name} at http://{address}:{port}\n")
        sys.stdout.flush()
        await host.ended()
    except (ModelUnreadable, HostError) as error:
        _log.error("Cannot start: %s", error)
    except Exception:  # noqa: BLE001 - logged, and the process ends
        _log.exception("The compute thread died")
    else:
        return 0
    server.should_exit = True
    return 1


def main() -> int:
    """Runs the host; its exit status."""
    options = options_parse(sys.argv[1:])
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return uvloop.run(_serve(options, os.environ.get("POLYGRAFT_ENGINE_SECRET")))


if __name__ == "__main__":
    sys.exit(main())
