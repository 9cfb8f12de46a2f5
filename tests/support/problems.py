"""Errors of the API, however they are told."""

from typing import Any

import httpx


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """What an error says: problem details, or what stands beside them in the forms of OpenAI's API and of JSON-RPC."""
    told = answer.json()
    if "jsonrpc" in told:
        return told["error"]["data"]["caxton"]
    return told["error"]["caxton"] if "error" in told else told
