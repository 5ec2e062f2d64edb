"""Understands a thumb for an answer, and finds the request that it is for."""

import asyncio
import time
from typing import Any

import orjson

from serving.feedback import feedback_give
from serving.gateway.auth import Grant
from serving.gateway.body import parse_object
from serving.gateway.call import Call
from serving.gateway.database import in_database
from serving.gateway.errors import InvalidValue, RequestNotFound
from serving.gateway.reply import send_json

PATH = "/v1/feedback"
MAX_BODY_BYTES = 16 * 1024
_MAX_COMMENT = 2000
_MAX_ID = 64
_RATINGS = {"up": 1, "down": -1}
# A request is on record some two seconds after it has ended.
_RECORD_SECONDS, _POLL_SECONDS = 6.0, 0.4
# Who rates what never was, over and over, waits no more than so many at a time.
_MOST_WAITING = 16


class FeedbackDesk:
    """Takes feedback in; one for all requests of a process."""

    def __init__(self) -> None:
        self._waiting = 0

    async def take(self, call: Call, grant: Grant) -> None:
        """Keep the feedback in a request's body, and say so.

        Raises:
            BodyTooLarge, InvalidBody, InvalidValue: it is none.
            RequestNotFound: it is for no request of this department, as far as is known.
            DatabaseAway: it cannot be kept now.
        """
        body = parse_object(await call.line.read_body(MAX_BODY_BYTES))
        request_id, rating, comment = _request_id(body), _rating(body), _comment(body)

        def give() -> bool:
            return feedback_give(
                department_id=grant.department_id,
                request_id=request_id,
                rating=rating,
                comment=comment,
                key_id=grant.key_id,
                user_id=grant.user_id,
            )

        if not (await in_database(give) or await self._once_on_record(give)):
            raise RequestNotFound(request_id)
        word = "up" if rating > 0 else "down"
        answer = {"object": "feedback", "request_id": request_id, "rating": word, "comment": comment or None}
        await send_json(call, 200, orjson.dumps(answer))
        call.outcome = "finished"

    async def _once_on_record(self, give: Any) -> bool:
        """Try again until the request is on record; returns whether it ever was."""
        if self._waiting >= _MOST_WAITING:
            return False
        self._waiting += 1
        try:
            until = time.monotonic() + _RECORD_SECONDS
            while time.monotonic() < until:
                await asyncio.sleep(_POLL_SECONDS)
                if await in_database(give):
                    return True
            return False
        finally:
            self._waiting -= 1


def _request_id(body: dict[str, Any]) -> str:
    value = body.get("request_id")
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID or not value.isascii() or not value.isprintable():
        raise InvalidValue("'request_id' is required: what the answer's header x-request-id said.", param="request_id")
    return value


def _rating(body: dict[str, Any]) -> int:
    value = body.get("rating")
    if isinstance(value, str) and value in _RATINGS:
        return _RATINGS[value]
    if value in (1, -1) and not isinstance(value, bool | float):
        return int(value)
    raise InvalidValue('\'rating\' is required: "up" or "down", or 1 or -1.', param="rating")


def _comment(body: dict[str, Any]) -> str:
    value = body.get("comment")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_COMMENT:
        raise InvalidValue(f"'comment' must be a string of at most {_MAX_COMMENT} characters.", param="comment")
    # No database takes it.
    return value.replace("\0", "")
