"""Errors of the API, however they are told."""

from typing import Any

import httpx


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """What an error says: problem details, or what stands for them in the forms of OpenAI's API, JSON-RPC and A2A."""
    told = answer.json()
    if "error" not in told:
        return told
    error: dict[str, Any] = told["error"]
    if "caxton" in error:
        return error["caxton"]
    details: Any = error["details"] if "details" in error else error["data"]
    return details[-1]["value"] if isinstance(details, list) else details["caxton"]
