"""Asks one adapter's bare name at a steady rate, in conversations that have names."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import httpx
import orjson
from rollouts_check import Answer, Voices

CHAT = "/v1/chat/completions"
_CONVERSATIONS = 40
_QUESTIONS = ("Hello", "Where is my order?", "Who wrote Hamlet?", "What do bees make?")
# Enough to tell the voices apart; what is measured is who answers, not how fast.
_TOKENS = 2


class Conversations:
    """So many requests per second, whether or not earlier ones have been answered."""

    def __init__(self, url: str, secret: str, model: str, *, rate: float) -> None:
        self.answers: list[Answer] = []
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._model = model
        self._rate = rate
        self._over = False

    def stop(self) -> None:
        """Ask no more; `run` returns once everything is answered."""
        self._over = True

    async def voices(self, versions: Iterable[int]) -> Voices:
        """What each version answers to each question, when it is pinned."""
        voices = {}
        async with self._client() as client:
            for version in versions:
                for question in _QUESTIONS:
                    answer = await client.post(CHAT, json=self._body(question, version=version))
                    answer.raise_for_status()
                    voices[version, question] = _text(answer.content, streamed=False)
        return voices

    async def run(self) -> None:
        """Ask until stopped."""
        async with self._client() as client:
            began = time.monotonic()
            number = 0
            async with asyncio.TaskGroup() as tasks:
                while not self._over:
                    await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                    tasks.create_task(self._ask(client, number))
                    number += 1

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        conversation = number % _CONVERSATIONS
        question = _QUESTIONS[number % len(_QUESTIONS)]
        streamed = number % 8 < 4
        session = {"x-polygraft-session": f"conversation-{conversation}"}
        sent_at = time.monotonic()
        text, problem, model = "", "", ""
        try:
            response = await client.post(CHAT, json=self._body(question, streamed=streamed), headers=session)
            model = response.headers.get("x-polygraft-model", "")
            if response.status_code == 200:
                text = _text(response.content, streamed=streamed)
            else:
                problem = f"{response.status_code} {response.text[:200]}"
        except (httpx.HTTPError, ValueError, KeyError) as error:
            problem = f"{type(error).__name__} {error}"
        version = int(model.rpartition(":")[2]) if model else 0
        self.answers.append(Answer(sent_at, time.monotonic(), conversation, question, version, text, problem))

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        return httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=60, limits=limits, trust_env=False)

    def _body(self, question: str, *, streamed: bool = False, version: int | None = None) -> dict[str, Any]:
        return {
            "model": self._model if version is None else f"{self._model}:{version}",
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": _TOKENS,
            "stream": streamed,
        }


def _text(body: bytes, *, streamed: bool) -> str:
    """What was said; an event that tells of an error, or a stream without its end, is a ValueError or KeyError."""
    if not streamed:
        return str(orjson.loads(body)["choices"][0]["message"]["content"])
    events = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    if not events or events[-1] != b"[DONE]":
        raise ValueError("the stream broke off")
    choices = [choice for event in events[:-1] for choice in orjson.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
