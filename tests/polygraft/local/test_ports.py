"""A port that cannot be listened on is explained in a line."""

import socket

from polygraft.local.ports import port_problem


def test_a_busy_port_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = port_problem("127.0.0.1", port)
    assert problem is not None
    assert f"Port {port} on 127.0.0.1 is in use" in problem
    assert f"POLYGRAFT_PORT={port + 1 if port < 65535 else port - 1} make run" in problem
    assert "\n" not in problem


def test_a_port_is_free_again_right_after_its_server_has_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert port_problem("127.0.0.1", port) is None


def test_an_address_of_another_machine_is_refused() -> None:
    problem = port_problem("192.0.2.1", 8000)
    assert problem is not None
    assert "POLYGRAFT_HOST" in problem
