"""State machines admit what the architecture says, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.agents import AGENT_LIFECYCLE, AgentState
from caxton.domain.conversations import CONVERSATION_LIFECYCLE, STATE_AFTER, ConversationState, EndReason
from caxton.domain.deployments import DEPLOYMENT_LIFECYCLE
from caxton.domain.errors import InvalidState
from caxton.domain.lifecycle import StateMachine
from caxton.domain.tools import TOOL_LIFECYCLE
from caxton.workflows.agent import pause_of_drain

MACHINES: list[StateMachine[Any]] = [AGENT_LIFECYCLE, CONVERSATION_LIFECYCLE, DEPLOYMENT_LIFECYCLE, TOOL_LIFECYCLE]


@pytest.mark.requirement("AGT-4")
@given(machine=st.sampled_from(MACHINES), data=st.data())
def test_a_change_is_made_or_refused_with_what_would_be_legal(machine: StateMachine[Any], data: st.DataObject) -> None:
    before, after = (data.draw(st.sampled_from(list(machine.states))) for _ in range(2))
    if machine.allows(before, after):
        assert machine.change(before, after, name="it") is after
        return
    with pytest.raises(InvalidState) as caught:
        machine.change(before, after, name="it")
    told = str(caught.value)
    assert f'{machine.subject} "it" is {before}' in told
    assert caught.value.details["wanted"] == after
    hints = " ".join(hint.text for hint in caught.value.hints)
    for state in machine.states:
        if machine.allows(before, state):
            assert str(state) in hints


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.subject)
def test_no_state_is_out_of_reach_and_none_follows_itself(machine: StateMachine[Any]) -> None:
    first = next(iter(machine.states))
    reached, todo = {first}, [first]
    while todo:
        state = todo.pop()
        assert not machine.allows(state, state)
        for following in machine.states:
            if machine.allows(state, following) and following not in reached:
                reached.add(following)
                todo.append(following)
    assert reached == set(machine.states)


def test_an_agent_drains_before_it_stops() -> None:
    assert AGENT_LIFECYCLE.allows(AgentState.RUNNING, AgentState.DRAINING)
    assert not AGENT_LIFECYCLE.allows(AgentState.RUNNING, AgentState.UNLOADED)
    assert not AGENT_LIFECYCLE.allows(AgentState.UNLOADED, AgentState.RUNNING)


@given(reason=st.sampled_from(EndReason))
def test_a_conversation_that_ended_stays_so(reason: EndReason) -> None:
    state = STATE_AFTER[reason]
    assert CONVERSATION_LIFECYCLE.is_final(state)
    assert CONVERSATION_LIFECYCLE.allows(ConversationState.IN_PROGRESS, state)


def test_a_long_drain_fills_no_history() -> None:
    waited, counts = 0.0, 0
    while waited < 50 * 60:
        waited, counts = waited + pause_of_drain(waited), counts + 1
    assert counts < 100
    assert waited < 55 * 60
