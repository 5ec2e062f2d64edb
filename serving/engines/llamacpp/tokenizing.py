"""`POST /tokenize`, in vLLM's shape: the token ids of a prompt or of a rendered conversation."""

from typing import Any

from .errors import BadRequest
from .fields import Fields
from .intake import Intake
from .messages import read_messages
from .protocol import parse_json
from .structure import read_tools


async def tokenize(body: bytes, intake: Intake) -> dict[str, Any]:
    """`{"count", "max_model_len", "tokens", "token_strs"}`."""
    fields = Fields(parse_json(body))
    fields.text("model")
    prompt, messages = fields.text("prompt"), fields.raw("messages")
    if (prompt is None) == (messages is None):
        raise BadRequest("Give either `prompt` or `messages`.", param="prompt")
    add_special = fields.raw("add_special_tokens")
    if not isinstance(add_special, bool | None):
        raise BadRequest("`add_special_tokens` must be true or false.", param="add_special_tokens")
    wants_strings = fields.flag("return_token_strs")
    if prompt is None:
        # The template writes the special tokens itself.
        answer = fields.raw("add_generation_prompt") is not False
        prompt = intake.template.render(read_messages(messages), read_tools(fields), answer=answer)
        add_special = bool(add_special)
    fields.refuse_left_over({"continue_final_message": (False,)}, frozenset({"add_generation_prompt"}))
    tokens = await intake.tokens(prompt, add_special=add_special is not False)
    strings = [intake.model.text([token]) for token in tokens] if wants_strings else None
    return {"count": len(tokens), "max_model_len": intake.limit, "tokens": tokens, "token_strs": strings}
