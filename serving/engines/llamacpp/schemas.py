"""Checks JSON schemas before they become grammars, and brings them into the form that the converter gets right."""

from typing import Any

from .errors import BadRequest, UnsupportedParameter

_LARGEST_COUNT = 256
_DEEPEST = 64
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength"})
# The converter passes over these; an output could then break what its schema asks for.
_NOT_ENFORCED = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "not", "if", "then", "else",
        "patternProperties", "propertyNames", "minProperties", "maxProperties", "uniqueItems", "contains",
        "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems",
    }
)  # fmt: skip
_DEFINITIONS = ("$defs", "definitions")
_VALUES = frozenset({"const", "enum", "default", "examples", "required"})


class PreparedSchema:
    """A schema without definitions of its own; they are in `definitions`, under names that begin with `prefix`.

    The converter takes a reference's last word for a rule's name, so the words must differ from all others.
    """

    def __init__(self, schema: dict[str, Any], *, prefix: str, param: str) -> None:
        """BadRequest, naming `param`, for what a grammar cannot enforce."""
        self._prefix = prefix
        self._param = param
        self.definitions: dict[str, Any] = {}
        found = {name: one for key in _DEFINITIONS for name, one in self._object(schema.get(key, {})).items()}
        self._known = frozenset(found)
        for name, one in found.items():
            self.definitions[prefix + name] = self._prepare(one, 1)
        self.schema: dict[str, Any] = self._prepare(
            {key: value for key, value in schema.items() if key not in _DEFINITIONS}, 0
        )

    def _object(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadRequest(f"The schema in `{self._param}` is malformed.", param=self._param)
        return value

    def _prepare(self, schema: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise BadRequest(f"The schema in `{self._param}` is nested too deeply.", param=self._param)
        if isinstance(schema, list):
            return [self._prepare(one, depth + 1) for one in schema]
        if not isinstance(schema, dict):
            return schema
        return {key: self._keyword(key, value, depth) for key, value in schema.items()}

    def _keyword(self, key: str, value: Any, depth: int) -> Any:
        if key in _NOT_ENFORCED:
            raise UnsupportedParameter(f"This engine cannot enforce `{key}` in `{self._param}`.", param=self._param)
        if key in _COUNTS and not (type(value) is int and 0 <= value <= _LARGEST_COUNT):
            problem = f"`{key}` in `{self._param}` must be an integer from 0 to {_LARGEST_COUNT}."
            raise BadRequest(problem, param=self._param)
        if key == "$ref":
            return self._reference(value)
        if key == "properties":
            return {name: self._prepare(one, depth + 1) for name, one in self._object(value).items()}
        return value if key in _VALUES else self._prepare(value, depth + 1)

    def _reference(self, value: Any) -> str:
        for key in _DEFINITIONS:
            start = f"#/{key}/"
            if isinstance(value, str) and value.startswith(start) and value[len(start) :] in self._known:
                return f"#/$defs/{self._prefix}{value[len(start) :]}"
        problem = f"`$ref` in `{self._param}` must name one of the schema's own definitions, not {value!r}."
        raise BadRequest(problem, param=self._param)
