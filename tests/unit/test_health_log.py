"""The log tells of a component's health when it changes, and not again at each check."""

import asyncio
import logging

import pytest

from caxton.domain.errors import ModelNotConfigured
from caxton.service.system import HealthChecks


def test_a_component_that_fails_is_logged_once_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter(["failed", "failed", "worse", "ok"])
    behind = iter(range(10))

    async def check() -> str:
        answer = next(answers)
        if answer == "ok":
            return "fine"
        raise ModelNotConfigured(f"it {answer}, {next(behind)} times", "set THE_KEY")

    async def watch() -> None:
        checks = HealthChecks()
        checks.add("model", check, optional=True)
        for _ in range(4):
            await checks.check()

    with caplog.at_level(logging.WARNING):
        asyncio.run(watch())
    assert [record.getMessage() for record in caplog.records] == [
        "component model is degraded: it failed, 0 times (set THE_KEY)",
        "component model is degraded: it worse, 2 times (set THE_KEY)",
        "component model works again",
    ]
