"""Reads the prompts of a comparison, JSONL or a list, and names every line that is not as it should be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.core.exceptions import ValidationError

from polygraft.conf import MIB, config
from serving.comparisons.expectations import expectation_problems
from serving.comparisons.sampling import MOST_TOKENS

MOST_BYTES = 8 * MIB
_LONGEST_LINE = 256 * 1024
_MOST_MESSAGES = 200
_LONGEST_LABEL = 100
# As many are told at once; a file that is wrong throughout is wrong in one way as a rule.
_MOST_TOLD = 50
_FIELDS = ("messages", "prompt", "expect", "id", "max_tokens")
_HINT = (
    'Each line is an object such as {"messages": [{"role": "user", "content": "Hi"}], "expect": {"contains": "Hello"}}.'
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, as fields of a request, and what is expected; `number` is the line's, from 1."""

    number: int
    request: dict[str, Any]
    expect: dict[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def asked(self) -> str:
        """The question in short: the plain text, or the last message."""
        if "prompt" in self.request:
            return str(self.request["prompt"])
        content = self.request["messages"][-1]["content"]
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            return "\n".join(text for text in texts if isinstance(text, str))
        return content if isinstance(content, str) else ""


def prompts_from_jsonl(content: bytes) -> list[Prompt]:
    """The prompts of a JSONL file; empty lines are passed over.

    Raises:
        ValidationError: under `prompts`, a sentence for each line that is not as it should be.
    """
    if len(content) > MOST_BYTES:
        raise ValidationError(
            {"prompts": f"The prompts have {len(content)} bytes; {MOST_BYTES} are the most. Split them into several."}
        )
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    return _checked("Line", _parsed(lines))


def prompts_from_list(items: Sequence[Any]) -> list[Prompt]:
    """The prompts of a list of objects, each shaped as a line of the file would be.

    Raises:
        ValidationError: as for a file.
    """
    return _checked("Prompt", ((number, item, "") for number, item in enumerate(items, 1)))


def _parsed(lines: Iterable[bytes]) -> Iterator[tuple[int, Any, str]]:
    """Line number, what it says, and why it says nothing."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > _LONGEST_LINE:
            yield number, None, f"It has {len(line)} bytes; {_LONGEST_LINE} are the most."
            continue
        try:
            yield number, orjson.loads(line), ""
        except orjson.JSONDecodeError as error:
            yield number, None, f"It is not JSON: {error}. {_HINT}"


def _checked(noun: str, items: Iterable[tuple[int, Any, str]]) -> list[Prompt]:
    most = config().comparison_prompts
    prompts: list[Prompt] = []
    told: list[str] = []
    wrong = count = 0
    for number, item, problem in items:
        count += 1
        problems = [problem] if problem else _problems(item)
        if problems:
            wrong += 1
            if wrong <= _MOST_TOLD:
                told.append(f"{noun} {number}: {' '.join(problems)}")
        elif count <= most:
            prompts.append(_prompt(number, item))
    if wrong > _MOST_TOLD:
        told.append(f"{wrong - _MOST_TOLD} more lines are not as they should be.")
    if count > most:
        told.append(f"There are {count} prompts; {most} are the most. Split them into several comparisons.")
    if not count:
        told.append(f"There are no prompts. {_HINT}")
    if told:
        raise ValidationError({"prompts": told})
    return prompts


def _prompt(number: int, item: dict[str, Any]) -> Prompt:
    request = {name: item[name] for name in ("messages", "prompt", "max_tokens") if item.get(name) is not None}
    return Prompt(number, request, item.get("expect") or {}, str(item["id"]) if item.get("id") is not None else "")


def _problems(item: Any) -> list[str]:
    """Everything that is wrong with one line."""
    if not isinstance(item, dict):
        return [f"It is not an object. {_HINT}"]
    problems = [f'It knows no "{name[:50]}"; it knows {", ".join(_FIELDS)}.' for name in item if name not in _FIELDS]
    has_messages, has_prompt = item.get("messages") is not None, item.get("prompt") is not None
    if has_messages == has_prompt:
        problems.append(f'It needs either "messages" or "prompt"{", not both" if has_prompt else ""}.')
    elif has_messages:
        problems += _message_problems(item["messages"])
    elif not isinstance(item["prompt"], str) or not item["prompt"]:
        problems.append('"prompt" must be a text.')
    label, tokens = item.get("id"), item.get("max_tokens")
    if label is not None and (
        isinstance(label, bool) or not isinstance(label, str | int) or len(str(label)) > _LONGEST_LABEL
    ):
        problems.append(f'"id" must be a text of at most {_LONGEST_LABEL} characters, or a number.')
    if tokens is not None and (
        isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 < tokens <= MOST_TOKENS
    ):
        problems.append(f'"max_tokens" must be a whole number from 1 to {MOST_TOKENS}.')
    if item.get("expect") is not None:
        problems += expectation_problems(item["expect"])
    return problems


def _message_problems(messages: Any) -> list[str]:
    if not isinstance(messages, list) or not 0 < len(messages) <= _MOST_MESSAGES:
        return [f'"messages" must be a list of 1 to {_MOST_MESSAGES} messages.']
    for place, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
            return [f'Message {place} must be an object with "role" and "content".']
    return []
