"""“Ready” is said when the demo's adapters answer, and not before."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from polygraft.conf import config
from polygraft.local import probe
from polygraft.local.demo_file import DemoFile, demo_file_write

ENGINES = "/api/v1/engines"
COMPLETIONS = "/v1/chat/completions"


@dataclass
class Stub:
    """A platform that answers with these statuses, one after the other, and then with 200; and its latest engine."""

    url: str
    statuses: list[int] = field(default_factory=list)
    engine_states: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None, Any]] = field(default_factory=list)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setattr(config(), "home", tmp_path)
    demo_file_write(DemoFile(admin_token="pgt_admin", api_keys={"support": "pg_support", "legal": "pg_legal"}))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.requests.append((self.path, self.headers.get("Authorization"), json.loads(body or "null")))
            self.send_response(stub.statuses.pop(0) if stub.statuses else 200)
            self.end_headers()
            if self.path == ENGINES:
                state = stub.engine_states.pop(0) if stub.engine_states else "ready"
                age = timedelta(hours=1) if state == "ready before" else timedelta()
                engine = {
                    "state": state.split()[0] if state else "",
                    "error": "No memory." if state == "failed" else "",
                    "created_at": (datetime.now(UTC) - age).isoformat(),
                }
                answer = {"results": [engine]}
                self.wfile.write(json.dumps(answer if state else {"results": []}).encode())
            else:
                self.wfile.write(b"as it is")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stub = Stub(f"http://127.0.0.1:{server.server_port}")
        yield stub
        server.shutdown()
        thread.join()


def test_it_asks_each_adapter_with_its_own_departments_key(stub: Stub) -> None:
    assert probe.main(stub.url, seconds=60) == 0
    asked = [(path, key, body and body["model"]) for path, key, body in stub.requests]
    assert asked == [
        ("/readyz", None, None),
        (ENGINES, "Bearer pgt_admin", None),
        (COMPLETIONS, "Bearer pg_support", "support-bot"),
        (COMPLETIONS, "Bearer pg_legal", "contracts"),
    ]


def test_it_asks_again_until_the_answer_is_right(stub: Stub) -> None:
    stub.statuses = [503, 503, 200, 200, 503]
    assert probe.main(stub.url, seconds=60) == 0
    assert [path for path, *_ in stub.requests] == ["/readyz"] * 3 + [ENGINES] + [COMPLETIONS] * 3


def test_adapters_are_not_asked_before_an_engine_is_ready(stub: Stub) -> None:
    # First of all, the engine of the run before may still be taken for ready.
    stub.engine_states = ["ready before", "", "starting", "failed", "ready"]
    assert probe.main(stub.url, seconds=60) == 0
    assert [path for path, *_ in stub.requests] == ["/readyz"] + [ENGINES] * 5 + [COMPLETIONS] * 2


def test_when_time_is_over_it_says_what_stood_against_it(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.statuses = [200, 200] + [503] * 1000
    assert probe.main(stub.url, seconds=2) == 1
    assert "support-bot is not ready 2 s after the start: HTTP 503 as it is" in capsys.readouterr().out


def test_an_engine_that_fails_is_quoted(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.engine_states = ["failed"] * 1000
    assert probe.main(stub.url, seconds=2) == 1
    assert "the engine is not ready 2 s after the start: the latest is failed No memory." in capsys.readouterr().out


def test_a_platform_that_does_not_listen_is_a_reason_too(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main("http://127.0.0.1:1", seconds=2) == 1
    assert "the web server is not ready" in capsys.readouterr().out
