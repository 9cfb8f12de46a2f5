"""What is done for an agent that is not well."""

import pytest

from caxton.domain.agent_health import HEALED_AFTER, AgentHealth, Trouble

FAILING = Trouble(code="execution_failed", message="it fails", since=5)
UNLOADABLE = Trouble(code="model_not_configured", message="no key")


@pytest.mark.requirement("AGT-5")
@pytest.mark.parametrize("again", [True, False])
def test_three_restarts_each_after_twice_the_time_and_then_it_is_stopped(again: bool) -> None:
    health, now, pauses = AgentHealth(agent="a"), 10.0, []
    for _ in range(3):
        trouble = FAILING.model_copy(update={"since": now}) if again else UNLOADABLE
        assert health.verdict(trouble, now, 3) == "restart"
        health = health.restarted(trouble, now, 10)
        pauses.append(health.not_before - now)
        assert health.verdict(trouble, now, 3) == "wait"
        now = health.not_before
    assert pauses == [10, 20, 40]
    assert health.verdict(FAILING.model_copy(update={"since": now}), now, 3) == "stop"
    assert health.verdict(UNLOADABLE, now, 3) == "stop"


def test_a_failure_that_was_dealt_with_is_none_any_more_and_is_forgotten_after_a_while() -> None:
    health = AgentHealth(agent="a").restarted(FAILING, 10, 10)
    assert health.verdict(FAILING, 30, 3) == "wait"
    assert health.verdict(None, 30, 3) == "wait"
    assert health.verdict(None, health.not_before + HEALED_AFTER, 3) == "healed"
    assert health.verdict(FAILING.model_copy(update={"since": 20}), 30, 3) == "restart"
