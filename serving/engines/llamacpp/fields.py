"""Reads a JSON body's fields one by one, with their types and ranges, and names what is left over."""

from typing import Any

from .errors import BadRequest, UnsupportedParameter

INT64 = 2**63 - 1


class Fields:
    """A JSON object whose `null` fields count as absent."""

    def __init__(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise BadRequest("The request's body must be a JSON object.")
        self._left = {name: value for name, value in body.items() if value is not None}

    def raw(self, name: str) -> Any:
        """A field as it is; None if absent."""
        return self._left.pop(name, None)

    def flag(self, name: str) -> bool:
        """A boolean; absent means false."""
        value = self.raw(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise BadRequest(f"`{name}` must be true or false.", param=name)
        return value

    def text(self, name: str, *, longest: int | None = None) -> str | None:
        """A string."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadRequest(f"`{name}` must be a string.", param=name)
        if longest is not None and len(value) > longest:
            raise BadRequest(f"`{name}` is longer than {longest} characters.", param=name)
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadRequest(f"`{name}` must be an integer from {low} to {high}.", param=name)
        return value

    def number(self, name: str, default: float, low: float, high: float, *, above: bool = False) -> float:
        """A number from `low` to `high`; with `above`, `low` itself is refused."""
        value = self.raw(name)
        if value is None:
            return default
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not fits or (above and value == low):
            begin = "above" if above else "from"
            raise BadRequest(f"`{name}` must be a number {begin} {low:g} to {high:g}.", param=name)
        return float(value)

    def refuse_left_over(self, neutral: dict[str, tuple[Any, ...]], without_effect: frozenset[str]) -> None:
        """UnsupportedParameter for any field not read yet, unless its value asks for nothing."""
        for name, value in self._left.items():
            if name in without_effect:
                continue
            if name not in neutral:
                raise UnsupportedParameter(f"Unknown parameter: `{name}`.", param=name)
            # Compared with their types: 1 == True, but they do not ask for the same.
            if not any(type(value) is type(off) and value == off for off in neutral[name]):
                raise UnsupportedParameter(f"This engine cannot honour `{name}`.", param=name)
