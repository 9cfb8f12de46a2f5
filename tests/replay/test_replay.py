"""Workflow code keeps replaying what it has done before: a server can be upgraded under running conversations."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from caxton.runtime.temporal import CaxtonPlugin
from caxton.runtime.wiring import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, json.loads(path.read_text()))
    await Replayer(workflows=WORKFLOWS, plugins=[CaxtonPlugin()]).replay_workflow(history)


def test_every_kind_of_workflow_has_a_history() -> None:
    kinds: set[str] = set()
    for path in HISTORIES:
        first = json.loads(path.read_text())["events"][0]
        kinds.add(first["workflowExecutionStartedEventAttributes"]["workflowType"]["name"])
    assert kinds == {"ConversationTurns", "Agent", "Deployment", "Notice", "MemoryRetention", "Rollout", "ScheduledRun"}
