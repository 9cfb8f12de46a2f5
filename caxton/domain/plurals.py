"""Counted things in words. Standard library only: the command line starts with it."""


def plural(count: int, word: str, words: str | None = None) -> str:
    """ "1 agent", "2 agents", "2 days", "2 capabilities"."""
    if words is None:
        words = f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"
    return f"{count} {word if count == 1 else words}"
