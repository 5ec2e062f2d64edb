"""The process that judges answers: one JSON line in, `{"text", "expect"}`, one out, `{"passed", "reason"}`.

It is a process of its own since a regular expression or a schema can be written so that it never ends; who runs it
(`judging`) ends it then.
"""

import json
import re
import resource
import sys
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

_MEMORY_BYTES = 1024**3
_LONGEST_QUOTE = 80


def main() -> None:
    """Judge until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        wish = json.loads(line)
        reasons = list(reasons_against(wish["text"], wish["expect"]))
        print(json.dumps({"passed": not reasons, "reason": " ".join(reasons)}), flush=True)  # noqa: T201  # its answer


def reasons_against(text: str, expect: dict[str, Any]) -> Iterator[str]:
    """Why an answer is not what was expected, a sentence for each expectation that it misses."""
    answer = text.strip()
    if "equals" in expect and answer != expect["equals"].strip():
        yield f"It is not {_quoted(expect['equals'])}."
    if "contains" in expect:
        parts = expect["contains"]
        missing = [part for part in (parts if isinstance(parts, list) else [parts]) if part not in text]
        if missing:
            yield f"It does not contain {', '.join(map(_quoted, missing))}."
    if "regex" in expect and re.search(expect["regex"], text) is None:
        yield f"It does not match {_quoted(expect['regex'])}."
    if "json_schema" in expect:
        yield from _against_schema(answer, expect["json_schema"])


def _against_schema(answer: str, schema: dict[str, Any]) -> Iterator[str]:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError) as error:
        yield f"It is not JSON: {error}."
        return
    # A registry of its own: without one, the library fetches what a schema refers to from the network.
    validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
    try:
        misfit = best_match(validator.iter_errors(value))
    except Unresolvable as unresolvable:
        yield f"The schema refers to #{unresolvable.ref.removeprefix('#')}, which it does not have."
    except (RecursionError, MemoryError):
        yield "The schema or the answer is nested too deeply to be judged."
    else:
        if isinstance(misfit, ValidationError):
            yield f"At {misfit.json_path}: {misfit.message[:200]}."


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + '…'}”"


if __name__ == "__main__":
    main()
