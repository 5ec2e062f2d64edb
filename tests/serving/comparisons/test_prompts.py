"""Prompts are checked before anything runs, and every bad line is named with its number and what to do."""

import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from polygraft.conf import config
from serving.comparisons.prompts import MOST_BYTES, Prompt, prompts_from_jsonl, prompts_from_list

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def complaints(content: bytes) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        prompts_from_jsonl(content)
    return list(raised.value.message_dict["prompts"])


def line(**fields: Any) -> bytes:
    return json.dumps({**CHAT, **fields}).encode()


def test_good_lines_become_prompts_and_empty_lines_count_only_as_lines() -> None:
    content = b'\xef\xbb\xbf{"prompt": "Once", "id": 7, "max_tokens": 5}\r\n\n' + line(expect={"contains": "o"})
    assert prompts_from_jsonl(content) == [
        Prompt(1, {"prompt": "Once", "max_tokens": 5}, {}, "7"),
        Prompt(3, CHAT, {"contains": "o"}, ""),
    ]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"{nonsense", "It is not JSON"),
        (b"[1]", "It is not an object"),
        (b"{}", 'needs either "messages" or "prompt"'),
        (line(prompt="x"), "not both"),
        (b'{"messages": []}', "a list of 1 to 200 messages"),
        (b'{"messages": [{"role": "user"}]}', 'Message 1 must be an object with "role" and "content"'),
        (b'{"prompt": ""}', '"prompt" must be a text'),
        (line(temperature=1), 'knows no "temperature"'),
        (line(id=[1]), '"id" must be a text'),
        (line(max_tokens=0), '"max_tokens" must be a whole number'),
        (line(max_tokens=True), '"max_tokens" must be a whole number'),
        (line(expect={"similar": "x"}), 'knows no "similar"'),
        (line(expect={}), '"expect" must be an object'),
        (line(expect=[1]), '"expect" must be an object'),
        (line(expect={"equals": 1}), '"equals" must be a text'),
        (line(expect={"contains": []}), '"contains" must be a text, or a list'),
        (line(expect={"contains": [""]}), '"contains" must be a text, or a list'),
        (line(expect={"regex": "("}), '"regex" is no regular expression'),
        (line(expect={"regex": "x" * 1001}), "at most 1000 characters"),
        (line(expect={"json_schema": "object"}), '"json_schema" must be a JSON Schema'),
        (line(expect={"json_schema": {"type": "objekt"}}), "no JSON Schema at $.type"),
        (line(expect={"json_schema": {"$ref": "http://127.0.0.1/x"}}), "refers to http://127.0.0.1/x, outside itself"),
        (line(expect={"json_schema": {"enum": ["x" * 21_000]}}), "larger than 20000 bytes"),
        (b'{"prompt": "' + b"x" * 300_000 + b'"}', "262144 are the most"),
    ],
)
def test_a_bad_line_is_named_with_its_number(bad: bytes, words: str) -> None:
    (told,) = complaints(line() + b"\n" + bad + b"\n" + line())
    assert told.startswith("Line 2: ")
    assert words in told


def test_every_bad_line_is_told_at_once_up_to_a_number() -> None:
    told = complaints(b"nonsense\n" * 60)
    assert told[0].startswith("Line 1: ")
    assert told[49].startswith("Line 50: ")
    assert told[50] == "10 more lines are not as they should be."


def test_an_empty_file_says_what_a_line_looks_like() -> None:
    assert complaints(b"\n\n")[0].startswith("There are no prompts. Each line is an object such as")


def test_too_many_prompts_are_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config(), "comparison_prompts", 2)
    assert complaints(b"\n".join([line()] * 3)) == [
        "There are 3 prompts; 2 are the most. Split them into several comparisons."
    ]


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert "are the most" in complaints(b"x" * (MOST_BYTES + 1))[0]


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"not": schema}
    with pytest.raises(ValidationError) as raised:
        prompts_from_list([{**CHAT, "expect": {"json_schema": schema}}])
    assert "nested too deeply" in raised.value.message_dict["prompts"][0]


def test_a_list_is_checked_like_a_file() -> None:
    with pytest.raises(ValidationError, match="Prompt 2: It is not an object"):
        prompts_from_list([CHAT, 1])


def test_what_is_asked_is_the_last_message_or_the_plain_text() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "image_url"}, {"type": "text", "text": "this?"}]
    prompts = prompts_from_list([CHAT, {"prompt": "Once"}, {"messages": [{"role": "user", "content": parts}]}])
    assert [prompt.asked for prompt in prompts] == ["Hi", "Once", "What is\nthis?"]
