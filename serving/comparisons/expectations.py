"""Says what a line of prompts may expect of an answer, and what is wrong with an expectation that cannot be judged."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

KINDS = ("equals", "contains", "regex", "json_schema")
_LONGEST_TEXT = 20_000
_LONGEST_REGEX = 1000
_LARGEST_SCHEMA = 20_000
_MOST_PARTS = 50
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def expectation_problems(expect: Any) -> list[str]:
    """Everything that is wrong with an expectation, as sentences that say what to do; empty: it can be judged."""
    if not isinstance(expect, dict) or not expect:
        return [f'"expect" must be an object with one or more of {", ".join(KINDS)}. Leave it out to expect nothing.']
    problems = [f'"expect" knows no "{kind}"; it knows {", ".join(KINDS)}.' for kind in expect if kind not in KINDS]
    if "equals" in expect and not _is_text(expect["equals"]):
        problems.append(f'"equals" must be a text of at most {_LONGEST_TEXT} characters.')
    if "contains" in expect and not _is_contained(expect["contains"]):
        problems.append(f'"contains" must be a text, or a list of at most {_MOST_PARTS} texts that all must occur.')
    if "regex" in expect:
        problems += _regex_problems(expect["regex"])
    if "json_schema" in expect:
        problems += _schema_problems(expect["json_schema"])
    return problems


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _is_contained(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return 0 < len(parts) <= _MOST_PARTS and all(_is_text(part) and part for part in parts)


def _regex_problems(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, str) or not pattern or len(pattern) > _LONGEST_REGEX:
        yield f'"regex" must be a regular expression of at most {_LONGEST_REGEX} characters.'
        return
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield f'"regex" is no regular expression of Python: {error}. Write every backslash twice in JSON.'


def _schema_problems(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield '"json_schema" must be a JSON Schema, which is an object.'
        return
    try:
        if len(orjson.dumps(schema)) > _LARGEST_SCHEMA:
            yield f'"json_schema" is larger than {_LARGEST_SCHEMA} bytes.'
            return
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        outside = next(_references_outside(schema), None)
    except SchemaError as error:
        yield f'"json_schema" is no JSON Schema at {error.json_path}: {error.message[:200]}'
        return
    except (RecursionError, orjson.JSONEncodeError):
        yield '"json_schema" is nested too deeply.'
        return
    if outside is not None:
        yield f'"json_schema" refers to {outside}, outside itself. Put what it needs under "$defs" and refer to that.'


def _references_outside(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
                yield value[:100]
            yield from _references_outside(value)
    elif isinstance(part, list):
        for one in part:
            yield from _references_outside(one)
