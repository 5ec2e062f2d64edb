"""What the fake engine answers where only some engines do: pooling, tokens, Messages and Responses."""

import json
from typing import Any

PATHS = frozenset(
    {"/v1/embeddings", "/v1/score", "/tokenize", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"}
)
_USAGE = {"input_tokens": 5, "output_tokens": 2}


def whole(path: str, wish: dict[str, Any]) -> dict[str, Any]:
    """The whole answer to a request."""
    shared = {"model": wish["model"], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    match path:
        case "/v1/embeddings":
            inputs = wish["input"] if isinstance(wish["input"], list) else [wish["input"]]
            data = [{"object": "embedding", "index": at, "embedding": [0.5, 0.25]} for at, _ in enumerate(inputs)]
            return {"object": "list", "data": data, **shared}
        case "/v1/score":
            return {"object": "list", "data": [{"index": 0, "object": "score", "score": 0.5}], **shared}
        case "/tokenize":
            words = json.dumps(wish.get("messages", wish.get("prompt"))).split()
            return {"count": len(words), "max_model_len": 2048, "tokens": list(range(len(words)))}
        case "/v1/messages/count_tokens":
            return {"input_tokens": 5}
        case "/v1/messages":
            return _message(wish, [{"type": "text", "text": "natively so"}], "end_turn")
        case _:
            return _response(wish, "completed", [_item("natively so")])


def events(path: str, wish: dict[str, Any], *, fails: bool) -> list[bytes]:
    """The events of a stream, the last one an error if it `fails`."""
    made = _messages_events(wish) if path == "/v1/messages" else _responses_events(wish)
    if fails:
        error = {"type": "internal_error", "message": f"EngineCore: {wish['model']} fell over"}
        made = [*made[: len(made) // 2], {"type": "error", "error": error}]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in made]


def _messages_events(wish: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "message_start", "message": _message(wish, [], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in ("natively ", "so")
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USAGE},
        {"type": "message_stop"},
    ]


def _responses_events(wish: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item, part = _item("natively so"), _item("natively so")["content"][0]
    made = [
        {"type": "response.created", "response": _response(wish, "in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "natively so", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "natively so", "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": _response(wish, "completed", [item])},
    ]
    return [{**event, "sequence_number": at} for at, event in enumerate(made)]


def _message(wish: dict[str, Any], content: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    shared = {"id": "msg_1", "type": "message", "role": "assistant", "model": wish["model"], "stop_sequence": None}
    return {
        **shared,
        "content": content,
        "stop_reason": reason,
        "usage": _USAGE if reason else {**_USAGE, "output_tokens": 0},
    }


def _item(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _response(wish: dict[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    details = {"input_tokens_details": {"cached_tokens": 1}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {**_USAGE, **details, "total_tokens": 7} if status == "completed" else None
    shared = {"id": "resp_1", "object": "response", "created_at": 1, "model": wish["model"], "tools": []}
    return {
        **shared,
        "status": status,
        "output": output,
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
    }
