"""The results of a comparison as a file: JSONL with a prompt per line, or CSV with an answer per line."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import orjson

from serving.models import Comparison, ComparisonAnswer, ComparisonPrompt

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
_CHUNK = 200
_COLUMNS = (
    *("number", "id", "prompt", "candidate", "answer", "passed", "reason", "error", "finish_reason"),
    *("latency_ms", "first_token_ms", "prompt_tokens", "completion_tokens", "request_id"),
)
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def answer_as_json(comparison: Comparison, answer: ComparisonAnswer) -> dict[str, Any]:
    """One candidate's answer; `passed` is null where nothing was expected."""
    return {
        "candidate": comparison.candidates[answer.candidate],
        "answer": answer.text,
        "passed": answer.passed,
        "reason": answer.reason,
        "error": answer.error,
        "finish_reason": answer.finish_reason,
        "latency_ms": answer.latency_ms,
        "first_token_ms": answer.first_token_ms,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "request_id": answer.request_id,
    }


def prompt_as_json(comparison: Comparison, prompt: ComparisonPrompt) -> dict[str, Any]:
    """One prompt with the answers that it has so far, in the order of the candidates."""
    return {
        "number": prompt.number,
        "id": prompt.label,
        **prompt.request,
        "expect": prompt.expect,
        "answers": [answer_as_json(comparison, answer) for answer in prompt.answers.all()],
    }


def results_as_jsonl(comparison: Comparison) -> Iterator[bytes]:
    """A line per prompt."""
    for prompt in _prompts(comparison):
        yield orjson.dumps(prompt_as_json(comparison, prompt)) + b"\n"


def results_as_csv(comparison: Comparison) -> Iterator[bytes]:
    """A line per answer, under a line of names."""
    yield _line(_COLUMNS)
    for prompt in _prompts(comparison):
        about = {"number": prompt.number, "id": prompt.label, "prompt": prompt.asked}
        for answer in prompt.answers.all():
            row = about | answer_as_json(comparison, answer)
            yield _line([_harmless(row[column]) for column in _COLUMNS])


def _prompts(comparison: Comparison) -> Iterator[ComparisonPrompt]:
    return comparison.prompts.prefetch_related("answers").iterator(chunk_size=_CHUNK)


def _line(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
