"""The list of models as Anthropic's clients expect it."""

from datetime import UTC, datetime
from typing import Any

Body = dict[str, Any]


def anthropic_model(model: Body) -> Body:
    """Anthropic's `model` object, made of OpenAI's."""
    created = datetime.fromtimestamp(model["created"], UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": created}


def anthropic_models(models: list[Body]) -> Body:
    """All of them on one page."""
    data = [anthropic_model(model) for model in models]
    return {
        "data": data,
        "has_more": False,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
