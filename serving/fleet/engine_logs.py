"""The last lines of engines' logs, without secrets: node agents put them into Redis for whoever follows an engine."""

import redis

# Longer than anybody waits to read why an engine failed; the node has the whole log.
_KEPT_SECONDS = 24 * 3600


def engine_log_put(client: redis.Redis, engine_id: str, lines: str) -> None:
    """Put the last lines of an engine's log where others can read them."""
    client.set(_key(engine_id), lines, ex=_KEPT_SECONDS)


def engine_log_read(client: redis.Redis, engine_id: str) -> list[str]:
    """The last lines of an engine's log; none when it has none, or ended more than a day ago."""
    lines: bytes | None = client.get(_key(engine_id))  # type: ignore[assignment]  # blocking client
    return lines.decode().splitlines() if lines else []


def _key(engine_id: str) -> str:
    return f"polygraft:engine-log:{engine_id}"
