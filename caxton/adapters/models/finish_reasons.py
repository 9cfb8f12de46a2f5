"""Why an answer ended, in the words of the services that speak Chat Completions."""

from typing import Final, Literal

Finish = Literal["stop", "tool_calls", "length", "content_filter", "broken_off", "malformed"]

_WORDS: Final[dict[Finish, frozenset[str]]] = {
    "length": frozenset(
        {
            "length",
            "max_tokens",
            "max_new_tokens",
            "max_output_tokens",
            "max_completion_tokens",
            "max_length",
            "model_length",
            "model_context_window_exceeded",
            "context_length",
            "context_length_exceeded",
            "context_window_exceeded",
            "token_limit",
            "incomplete",
            "truncated",
        }
    ),
    "content_filter": frozenset(
        {
            "content_filter",
            "content_filtered",
            "filtered",
            "safety",
            "image_safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "sensitive",
            "moderation",
            "guardrail_intervened",
            "refusal",
        }
    ),
    "broken_off": frozenset(
        {
            "error",
            "abort",
            "aborted",
            "cancelled",
            "canceled",
            "failed",
            "timeout",
            "network_error",
            "insufficient_system_resource",
            "engine_overloaded",
            "overloaded",
            "load_shed",
        }
    ),
    "malformed": frozenset(
        {"malformed_function_call", "unexpected_tool_call", "too_many_tool_calls", "repetition", "malformed_response"}
    ),
}

_KNOWN: Final[dict[str, Finish]] = {word: finish for finish, words in _WORDS.items() for word in words}


def finish_of(word: str, *, has_calls: bool) -> Finish:
    """What `word` means.

    A word that nobody knows is a service's own for an answer that is whole, such as "eos", "end_turn" or "COMPLETE".
    """
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    plain = plain.removeprefix("finishreason.").removeprefix("finish_reason_")
    return _KNOWN.get(plain) or ("tool_calls" if has_calls else "stop")
