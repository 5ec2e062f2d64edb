"""A stream that a thread reads, for as long as a test wants it."""

import threading

import openai

from deadline import wait_until


class LongStream:
    """A stream of so many tokens; what came of it is known once it has been joined."""

    def __init__(self, client: openai.OpenAI, model: str, tokens: int, question: str = "How do I begin?") -> None:
        self.chunks: list[str] = []
        self.finish_reason: str | None = None
        self.error: Exception | None = None
        self._stream = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            stream=True,
            extra_body={"ignore_eos": True, "max_tokens": tokens},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until(lambda: len(self.chunks) > 3, seconds=60, what="the stream flows")

    def _read(self) -> None:
        try:
            for chunk in self._stream:
                if chunk.choices:
                    self.chunks.append(chunk.choices[0].delta.content or "")
                    self.finish_reason = chunk.choices[0].finish_reason or self.finish_reason
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            self.error = error

    def flows(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(timeout=200)
        assert not self._thread.is_alive()

    def is_whole(self) -> bool:
        """Whether it came to its end undisturbed; to be asked once it has been joined."""
        return self.error is None and self.finish_reason == "length"
