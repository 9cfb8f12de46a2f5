"""Questions of MCP servers: a form that is none is shown to nobody, whatever is in it."""

from typing import Any

import pytest

from caxton.api.mcp_face.mirrored import KEY, mirrors_of
from caxton.domain.questions import elicitation_of

FIELD: dict[str, Any] = {"type": "string"}


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(
    "form",
    [
        {"properties": {"a": {"type": ["string", "null"]}}},
        {"properties": {"a": {"type": {"a": 1}}}},
        {"properties": {"a": FIELD}, "required": [["a"]]},
        {"properties": {"a": FIELD}, "required": [{}]},
        {"properties": {"a": []}},
        {"properties": []},
    ],
)
def test_a_form_with_something_odd_in_it_is_none(form: dict[str, Any]) -> None:
    assert elicitation_of({"message": "x", "requestedSchema": {"type": "object", **form}}) is None


@pytest.mark.requirement("SEC-3")
def test_a_schema_with_several_types_has_no_headers_that_repeat_its_arguments() -> None:
    assert mirrors_of({"properties": {"a": {"type": ["string", "null"], KEY: "A"}}}) == {}
    assert mirrors_of({"properties": {"a": {"type": "string", KEY: "A"}}}) == {("a",): "A"}
