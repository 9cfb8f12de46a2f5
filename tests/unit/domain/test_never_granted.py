"""The rule by which variables are given to no tool."""

import pytest

from caxton.domain.never_granted import variable_problem


@pytest.mark.requirement("TOL-4")
@pytest.mark.parametrize("name", ["TZ", "LANG", "WEATHER_REGION", "TOOL_WEATHER_API_KEY", "TOOL_TOKEN", "HOME"])
def test_ordinary_variables_and_those_made_for_tools_may_be_granted(name: str) -> None:
    assert variable_problem(name) is None


@pytest.mark.requirement("TOL-4")
@pytest.mark.parametrize("name", ["X", "TOOL_KEY", "x", "Tool_Key"])
def test_variables_that_settings_use_are_given_to_no_tool(name: str) -> None:
    assert variable_problem(name, ["X", "TOOL_KEY"]) is not None


@pytest.mark.requirement("TOL-4")
def test_a_url_with_a_password_is_given_to_no_tool() -> None:
    assert variable_problem("UPSTREAM", value="https://user:word@host/") is not None
    assert variable_problem("UPSTREAM", value="https://host:8080/a@b") is None
