"""One request to an ASGI application, which tells how much of its body was asked for."""

from polygraft.asgi_types import Application, Message


async def request(application: Application, method: str, path: str, headers: dict[str, str]) -> tuple[int, int, bytes]:
    """How many pieces of the body were read, the status, and the answer's body."""
    read = 0
    answer: list[Message] = []

    async def receive() -> Message:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in headers.items())],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
    }
    await application(scope, receive, send)
    return read, answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:])
