"""Errors of the API, however they are told."""

from typing import Any

import httpx


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """What an error says: problem details, or what stands beside them in the form of OpenAI's API."""
    told = answer.json()
    return told["error"]["caxton"] if "error" in told else told
