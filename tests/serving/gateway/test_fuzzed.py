"""The inference endpoints under requests that are made up from their published description: nothing fails."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from cast import Cast
from serving.gateway.document import document

from .served import Engines, Served

SCHEMA = schemathesis.openapi.from_dict(orjson.loads(document()))
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)}


@pytest.mark.parametrize("label", OPERATIONS)
def test_nothing_that_fits_the_description_or_nearly_does_makes_the_gateway_fail(
    cast: Cast, engines: Engines, serve: Callable[..., Served], label: str
) -> None:
    engines.start()
    client = serve().client(cast.secret)

    @settings(max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), fits=st.booleans(), known=st.booleans())
    def ask(data: st.DataObject, fits: bool, known: bool) -> None:
        mode = GenerationMode.POSITIVE if fits else GenerationMode.NEGATIVE
        try:
            case: Any = data.draw(OPERATIONS[label].as_strategy(generation_mode=mode))
        except Unsatisfiable:
            return  # nothing about some operations can be wrong
        if known and isinstance(case.body, dict):
            # A model that exists, or else every answer would be that it does not.
            case.body["model"] = "support-bot"
        wish = case.as_transport_kwargs(base_url="")
        answer = client.request(case.method, case.formatted_path, params=wish.get("params"), json=wish.get("json"))
        # An endpoint that no engine here serves is no failure.
        assert answer.status_code < 500 or answer.json()["error"]["code"] == "no_engine", (case.body, answer.text)

    ask()
