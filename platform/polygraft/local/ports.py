"""Says whether a port can be listened on. `bootstrap.py` uses it too, with whatever Python there is."""

from __future__ import annotations

import errno
import socket


def port_problem(host: str, port: int) -> str | None:
    """Why nothing could listen there now, in one line that says what to do; None when something could."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Of two that bind with SO_REUSEADDR only one can listen.
            probe.listen()
    except socket.gaierror as error:
        return f"There is no address for {host} ({error.strerror}); check POLYGRAFT_HOST."
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is in use by another program. Stop it, or choose another port: "
                f"POLYGRAFT_PORT={port + 1 if port < 65535 else port - 1} make run"
            )
        return f"Port {port} on {host} cannot be used ({error.strerror}); check POLYGRAFT_PORT and POLYGRAFT_HOST."
    return None
