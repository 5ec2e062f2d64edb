"""Renders a conversation into a prompt with the model's own Jinja template."""

from typing import Any

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from .errors import BadRequest
from .model import Model


class ChatTemplate:
    """The template a GGUF carries, rendered in llama-cpp-python's sandbox."""

    def __init__(self, model: Model) -> None:
        source = model.chat_template()
        self._formatter = source and Jinja2ChatFormatter(
            template=source, eos_token=model.special_text("eos"), bos_token=model.special_text("bos")
        )

    def render(self, messages: list[dict[str, Any]]) -> str:
        """The prompt that asks for the assistant's next turn; BadRequest if the template refuses."""
        if not self._formatter:
            raise BadRequest("This model has no chat template; use /v1/completions.", param="messages")
        try:
            return str(self._formatter(messages=messages).prompt)  # type: ignore[arg-type]
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", param="messages") from error
