"""What an engine is asked for as a sign of life, by what its model is made for."""

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from serving.engines.driver import EngineError
from serving.engines.identity import ProcessIdentity
from serving.engines.openai_http import probe
from serving.engines.process import EngineProcess

NOT_FOUND = 404, {"detail": "Not Found"}  # as vLLM 0.32 says it of a path that its model is not made for
NO_ADAPTER = 404, {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model"}}
NO_TEXT = 400, {"error": {"message": "The model `x` only makes embeddings.", "param": "model"}}
WRONG = 400, {"error": {"message": "max_tokens is wrong.", "param": "max_tokens"}}
TEXT, VECTORS, EMPTY = (200, {"choices": [{}]}), (200, {"data": [{}]}), (200, {"data": []})

Answers = dict[str, tuple[int, object]]
Serve = Callable[[Answers], EngineProcess]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an engine that gives these answers by path, and 404 elsewhere."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> EngineProcess:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                status, body = answers.get(self.path, NOT_FOUND)
                sent = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return engine_at(f"127.0.0.1:{server.server_port}", tmp_path)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def engine_at(address: str, folder: Path) -> EngineProcess:
    return EngineProcess("e", ProcessIdentity.of(os.getpid()), [], address, "secret", folder / "engine.log")


@pytest.mark.parametrize(
    "answers",
    [
        {"/v1/completions": TEXT},
        {"/v1/embeddings": VECTORS},
        {"/v1/score": VECTORS},
        {"/v1/completions": NO_TEXT, "/v1/embeddings": VECTORS},
    ],
)
def test_whatever_a_model_is_made_for_is_a_sign_of_life(serve: Serve, answers: Answers) -> None:
    probe(serve(answers), "x")


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/v1/completions": NO_ADAPTER, "/v1/embeddings": VECTORS},
        {"/v1/completions": WRONG, "/v1/embeddings": VECTORS},
        {"/v1/completions": (500, {}), "/v1/embeddings": VECTORS},
        {"/v1/completions": VECTORS},
        {"/v1/embeddings": EMPTY, "/v1/score": VECTORS},
    ],
)
def test_what_is_wrong_with_an_engine_is_not_taken_for_what_it_is_made_for(serve: Serve, answers: Answers) -> None:
    with pytest.raises(EngineError, match="A probe of x was answered with"):
        probe(serve(answers), "x")
