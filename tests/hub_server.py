"""A small server that speaks the Hugging Face hub's protocol, as far as its client asks about and fetches models."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repository → file name → bytes; `private` ones want the token, and `seen` is what was asked with which."""

    repos: dict[str, dict[str, bytes]]
    token: str = "hf_secret"
    private: set[str] = field(default_factory=set)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def hub_server(repos: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    """Serve repositories whose branch `main` is at COMMIT."""
    hub = Hub(repos)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            token = self.headers.get("Authorization", "")
            hub.seen.append((self.command, path, token))
            parts = path.strip("/").split("/")
            is_api = parts[:2] == ["api", "models"]
            repo = "/".join(parts[2:4] if is_api else parts[:2])
            if repo not in hub.repos or (repo in hub.private and token != f"Bearer {hub.token}"):
                self._send(401 if not token else 404, b"", {"X-Error-Code": "RepoNotFound"})
            elif is_api:
                self._model(repo, parts[5] if len(parts) > 5 else "main")
            else:
                self._file(repo, parts[3], "/".join(parts[4:]))

        def _model(self, repo: str, revision: str) -> None:
            if revision not in ("main", COMMIT):
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": f"{len(content):040x}"}
                for name, content in hub.repos[repo].items()
            ]
            answer = {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _file(self, repo: str, commit: str, name: str) -> None:
            content = hub.repos[repo].get(name)
            if content is None or commit != COMMIT:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            self._send(200, content, {"ETag": f'"{len(content):040x}"', "X-Repo-Commit": COMMIT})

        def _send(self, status: int, body: bytes, headers: dict[str, Any]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
