"""What goes wrong between us and a provider, in Caxton's own errors.

Messages of providers may quote the request or a key, so only those that do not are told, as an error's `reason`.
"""

import re
from collections.abc import Iterable
from typing import Any, cast

from pydantic_ai import exceptions as failures

from caxton.domain.errors import (
    Hint,
    ModelAnswerInvalid,
    ModelError,
    ModelNotConfigured,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelTimeout,
    ModelUnavailable,
)

LONGEST_WAIT = 120.0
"""Seconds. Whoever asks for more patience is better asked again by the user."""

_REASON_CHARACTERS = 300

_SEARCHED_CHARACTERS = 1_000_000
"""In longer requests it is not searched for what a message may quote; it is not told."""

_QUOTED = re.compile(r"[\"'`]([^\"'`]+)[\"'`]")

_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
"""What the code that reads an answer raises when the answer is not of the form that it expects."""


def translate(error: Exception, model: str, private: Iterable[str]) -> ModelError:
    """The error of ours for `error`, which a call of `model` raised.

    Args:
        error: what pydantic-ai or a provider's SDK raised.
        model: as the agent names it, such as "openai:gpt-5".
        private: texts that an error may not quote.

    Raises:
        Exception: `error` itself, when it is none of a provider's doing.
    """
    classified = _classify(error, model)
    if classified is None:
        raise error
    kind, what, hints = classified
    return kind(
        what,
        *hints,
        reason=_reason(error, private),
        details=_details(error, model),
        retry_after=_patience(error) if kind.retryable else None,
    )


def _classify(error: Exception, model: str) -> tuple[type[ModelError], str, list[Hint]] | None:  # noqa: C901 - a table
    provider = model.partition(":")[0]
    match error:
        case failures.ModelRequestTimeout() | failures.ModelTimeoutError():
            hint = Hint(text="give it longer with timeout in the agent's [model_settings]")
            limit = f"within {error.timeout:g} s" if isinstance(error, failures.ModelRequestTimeout) else "in time"
            return ModelTimeout, f"model {model} did not answer {limit}", [hint]
        case failures.ModelRateLimitError():
            return ModelRateLimited, f"the provider of {model} refused the call: too many requests", []
        case failures.ModelQuotaExceededError():
            hint = Hint(text="look at the account's credit and spending limits with the provider")
            return ModelRefusedRequest, f"the account at the provider of {model} has no credit or quota left", [hint]
        case failures.ModelAuthenticationError():
            hint = Hint(text=f'check the API key of provider "{provider}", and that it may use the model')
            return ModelRefusedRequest, f"the provider of {model} did not accept the API key", [hint]
        case failures.ModelNotFoundError():
            hints = [Hint(text="check the model's name and the provider's base_url")]
            if suggested := getattr(error, "suggested_model_id", None):
                hints.insert(0, Hint(text=f'did you mean "{suggested}"?'))
            return ModelRefusedRequest, f"the provider of {model} knows no such model", hints
        case failures.ModelContextWindowExceededError():
            hint = Hint(text="lower history in the agent's [limits], or hand over less content")
            return ModelRefusedRequest, f"the conversation is longer than {model} can take", [hint]
        case failures.ModelConnectionError():
            return ModelUnavailable, f"the connection to the provider of {model} failed", []
        case failures.ModelUnavailableError() | failures.ModelServerError():
            return ModelUnavailable, f"the provider of {model} has a failure of its own", []
        case failures.ModelHTTPError():
            return _by_status(error.status_code, model)
        case failures.ModelAPIError() if error.in_stream:
            return ModelUnavailable, f"the provider of {model} broke its answer off with an error", []
        case failures.ModelAPIError() | failures.UnexpectedModelBehavior():
            return ModelAnswerInvalid, f"the answer of {model} could not be understood", []
        case failures.UserError() | ImportError():
            return ModelNotConfigured, f"model {model} cannot be used as it is configured", []
        case _ if isinstance(error, _MALFORMED):
            return ModelAnswerInvalid, f"the answer of {model} could not be understood", []
        case _:
            return None


def _by_status(status: int, model: str) -> tuple[type[ModelError], str, list[Hint]]:
    if status == 408:
        return ModelTimeout, f"the provider of {model} gave up waiting", []
    if status in (409, 425) or status >= 500:
        return ModelUnavailable, f"the provider of {model} could not take the request (HTTP {status})", []
    hint = Hint(
        text="check the agent's [model_settings] and the schemas of its tools; not every model takes all of them"
    )
    return ModelRefusedRequest, f"the provider of {model} refused the request (HTTP {status})", [hint]


def _patience(error: Exception) -> float | None:
    seconds = getattr(error, "retry_after", None)
    return None if seconds is None else min(float(seconds), LONGEST_WAIT)


def _details(error: Exception, model: str) -> dict[str, Any]:
    told = {
        "model": model,
        "status": getattr(error, "status_code", None),
        "provider_code": getattr(error, "provider_error_code", None),
        "provider_type": getattr(error, "provider_error_type", None),
    }
    return {name: value for name, value in told.items() if value is not None}


def _reason(error: Exception, private: Iterable[str]) -> str:
    """What the provider says, unless it speaks of keys or quotes the request."""
    name = type(error).__name__
    if isinstance(error, (failures.UserError, ImportError)):
        return f"{name}: {error}"[:_REASON_CHARACTERS]
    message = _provider_message(error)
    if not message or isinstance(error, failures.ModelAuthenticationError) or _quotes(message, private):
        return name
    return f"{name}: {message}"[:_REASON_CHARACTERS]


def _provider_message(error: Exception) -> str:
    body = getattr(error, "body", None)
    if not isinstance(body, dict):
        return ""
    fields = cast("dict[str, Any]", body)
    inner = fields.get("error", fields)
    message = cast("dict[str, Any]", inner).get("message") if isinstance(inner, dict) else None
    return message[: 2 * _REASON_CHARACTERS] if isinstance(message, str) else ""


def _quotes(message: str, texts: Iterable[str]) -> bool:
    """Whether `message` has three words in a row, or anything in quotation marks, that stands in one of `texts` too."""
    known = [text.casefold() for text in texts if text]
    if sum(map(len, known)) > _SEARCHED_CHARACTERS:
        return True
    folded = message.casefold()
    words = folded.split()
    runs = [" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))]
    runs += [quoted for quoted in _QUOTED.findall(folded) if quoted.strip()]
    joined = "\n".join(" ".join(text.split()) for text in known)
    return any(run in joined for run in runs) or any(text in folded for text in known if " " not in text)
