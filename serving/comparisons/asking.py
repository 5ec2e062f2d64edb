"""Asks the gateway one prompt of one candidate, as any client of the department would, and measures the answer."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

# A busy platform and a limit per minute are waited for; a limit per day is not.
_LONGEST_PAUSE = 90.0
_PATIENCE = 300.0
_CONNECT_SECONDS = 5.0
_LONGEST_ERROR = 1000


class GatewayAway(Exception):
    """The gateway cannot be reached; the prompt may be asked again later."""


class NotAllowed(Exception):
    """The gateway does not let the asker in."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `error` instead of a text; the times are in milliseconds, from sending on."""

    text: str = ""
    error: str = ""
    finish_reason: str = ""
    request_id: str = ""
    latency_ms: float | None = None
    first_token_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Asking:
    """Requests under way, on a thread of their own; a context, at whose end none is left.

    Args:
        url: the gateway's address.
        ticket: the credential of the person whose comparison it is.
        patience: seconds without a byte after which a request has failed.
    """

    def __init__(self, *, url: str, ticket: str, patience: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="comparison", daemon=True)
        self._client = httpx.AsyncClient(
            base_url=url,
            # Batch: whoever waits for an answer goes first.
            headers={"authorization": f"Bearer {ticket}", "x-polygraft-priority": "batch"},
            timeout=httpx.Timeout(patience, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._submit(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, body: dict[str, Any]) -> Future[Answer]:
        """Ask; a body with `messages` is a chat, one with `prompt` a completion.

        The future raises GatewayAway or NotAllowed where the prompt is not to blame; cancelling it ends the request.
        """
        return self._submit(self._answer(body))

    def _submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _close(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def _answer(self, body: dict[str, Any]) -> Answer:
        ends = time.monotonic() + _PATIENCE
        while True:
            try:
                answer, pause = await self._once(body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise GatewayAway(str(error)) from error
            except httpx.HTTPError as error:
                answer, pause = Answer(error=f"The answer broke off: {str(error) or type(error).__name__}."), None
            if pause is None or pause > _LONGEST_PAUSE or time.monotonic() + pause > ends:
                return answer
            await asyncio.sleep(pause)

    async def _once(self, body: dict[str, Any]) -> tuple[Answer, float | None]:
        """One try: what came of it, and after how many seconds another makes sense."""
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        began = time.perf_counter()
        async with self._client.stream("POST", path, json=asked) as response:
            if response.status_code != 200:
                await response.aread()
                return _refusal(response), _pause(response)
            return await _read(response, began), None


async def _read(response: httpx.Response, began: float) -> Answer:
    pieces: list[str] = []
    finish, error, first = "", "", None
    usage: dict[str, Any] = {}
    async for line in response.aiter_lines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        event = orjson.loads(line[5:])
        usage = event.get("usage") or usage
        if event.get("error"):
            error = str(event["error"].get("message", ""))[:_LONGEST_ERROR]
        for choice in event.get("choices") or ():
            piece = choice["delta"].get("content") if "delta" in choice else choice.get("text")
            if piece:
                first = first or _since(began)
                pieces.append(piece)
            finish = choice.get("finish_reason") or finish
    return Answer(
        text="".join(pieces),
        error=error,
        finish_reason=finish,
        request_id=response.headers.get("x-request-id", ""),
        latency_ms=_since(began),
        first_token_ms=first,
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
    )


def _refusal(response: httpx.Response) -> Answer:
    try:
        error = response.json()["error"]
        message = f"{error['message']} ({response.status_code} {error['code']})"
    except (ValueError, KeyError, TypeError):
        message = f"The gateway answered {response.status_code}."
    if response.status_code in (401, 403):
        raise NotAllowed(message)
    return Answer(error=message[:_LONGEST_ERROR], request_id=response.headers.get("x-request-id", ""))


def _pause(response: httpx.Response) -> float | None:
    if response.status_code not in (429, 503):
        return None
    after = response.headers.get("retry-after", "")
    return float(after) if after.isdigit() else None


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
