"""What a client sees of one output: its text, its calls of tools and how likely its tokens were."""

from dataclasses import dataclass, field

from .generation import Piece
from .logprobs import TokenLogprobs
from .tool_calls import ToolCall, ToolCallReader
from .tool_styles import ToolStyle


@dataclass(slots=True)
class Delta:
    """What is new in an output. The calls' numbers begin at `first_call`, the text's characters at `offset`."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    first_call: int = 0
    offset: int = 0
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.text or self.calls or self.logprobs or self.finish_reason)


class Choice:
    """Reads one output's pieces, with the calls in it if there are tools; `whole` is all of it so far."""

    def __init__(self, style: ToolStyle | None, echo: str) -> None:
        """`echo` is what the text begins with before the first piece."""
        self.whole = Delta()
        self._reader = style and ToolCallReader(style)
        self._echo = echo

    def read(self, piece: Piece) -> Delta:
        """What a piece adds."""
        new = Delta(self._echo + piece.text, logprobs=list(piece.logprobs), finish_reason=piece.finish_reason)
        new.offset = len(self.whole.text) + len(self._echo)
        self._echo = ""
        if self._reader:
            self._read_calls(self._reader, new)
        whole = self.whole
        whole.text += new.text
        whole.calls += new.calls
        whole.logprobs += new.logprobs
        whole.finish_reason = new.finish_reason
        return new

    def _read_calls(self, reader: ToolCallReader, new: Delta) -> None:
        new.first_call = len(self.whole.calls)
        new.text, new.calls = reader.push(new.text)
        if new.finish_reason is not None:
            text, calls = reader.flush()
            new.text += text
            new.calls += calls
        if new.finish_reason == "stop" and reader.found_calls:
            new.finish_reason = "tool_calls"
