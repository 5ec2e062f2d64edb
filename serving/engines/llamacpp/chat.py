"""Renders a conversation into a prompt with the model's own Jinja template."""

from typing import Any

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from .errors import BadRequest
from .model import Model
from .structure import Tools
from .tool_styles import ToolStyle, explain, tool_style


class ChatTemplate:
    """The template a GGUF carries, rendered in llama-cpp-python's sandbox."""

    def __init__(self, model: Model) -> None:
        source = model.chat_template()
        self.tool_style: ToolStyle = tool_style(source or "")
        self._formatter = source and Jinja2ChatFormatter(
            template=source, eos_token=model.special_text("eos"), bos_token=model.special_text("bos")
        )

    def render(self, messages: list[dict[str, Any]], tools: Tools | None = None, *, answer: bool = True) -> str:
        """The prompt that asks for the assistant's next turn, if `answer`; BadRequest if the template refuses."""
        if not self._formatter:
            raise BadRequest("This model has no chat template; use /v1/completions.", param="messages")
        if tools is not None and self.tool_style.explained:
            messages = explain(messages, tools.functions)
        more = {} if tools is None else {"tools": tools.given}
        # Not an argument of the call, but an attribute that the formatter passes on.
        self._formatter.add_generation_prompt = answer
        try:
            return str(self._formatter(messages=messages, **more).prompt)  # type: ignore[arg-type]
        except (jinja2.TemplateError, ValueError, TypeError, LookupError) as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", param="messages") from error
