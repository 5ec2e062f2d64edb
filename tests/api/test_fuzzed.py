"""The management API under requests that are made up from its own published description: nothing fails."""

from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from requests import Request
from rest_framework.test import APIClient
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from cast import Cast

SCHEMA = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
# A piece of an upload is bytes, whatever they are.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)}


def test_the_description_has_every_operation() -> None:
    assert len(OPERATIONS) > 30


@pytest.mark.parametrize("label", OPERATIONS)
def test_nothing_that_fits_the_description_or_nearly_does_makes_the_api_fail(cast: Cast, label: str) -> None:
    operation = OPERATIONS[label]
    real = {
        "slug": "support",
        "name": "support-bot",
        "username": "vera",
        "id": str(cast.key.pk),
        "department_slug": "support",
        "number": "1",
    }
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(cast.people["ada"])

    @settings(max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), fits=st.booleans(), there=st.booleans())
    def ask(data: st.DataObject, fits: bool, there: bool) -> None:
        try:
            mode = GenerationMode.POSITIVE if fits else GenerationMode.NEGATIVE
            case: Any = data.draw(operation.as_strategy(generation_mode=mode))
        except Unsatisfiable:
            return  # nothing about some operations can be wrong
        if there:
            # Something that exists, or else nearly every answer would be that it does not.
            case.path_parameters.update({name: real[name] for name in case.path_parameters if name in real})
        prepared = Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        answer = client.generic(
            str(prepared.method),
            prepared.path_url,
            data=prepared.body or b"",
            content_type=prepared.headers.get("Content-Type", "application/json"),
        )
        assert answer.status_code < 500, (prepared.path_url, prepared.body, answer.content[:500])

    ask()
