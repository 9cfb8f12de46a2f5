"""Refused requests of tools."""

from typing import Literal

from pydantic import BaseModel

RefusedKind = Literal["network", "environment", "files", "commands"]
Why = Literal["not_requested", "not_granted", "never"]

REFUSALS_TOLD = 10
"""Different refusals of one call that are told; of others only the number."""


class Refusal(BaseModel):
    """What a call asked for and may not have."""

    kind: RefusedKind
    what: str
    """An origin, a variable's name, or a path as the tool sees it: never contents."""
    why: Why
    """The manifest does not name it, nobody has granted it, or no tool gets it."""
    count: int = 1


class Refusals(BaseModel):
    """All that one call was refused: bounded, whatever the tool does."""

    told: list[Refusal] = []
    others: int = 0

    def __bool__(self) -> bool:
        return bool(self.told or self.others)

    def add(self, kind: RefusedKind, what: str, why: Why) -> None:
        """Counts a refusal."""
        shown = "".join(character if character.isprintable() else "?" for character in what[:200])
        for known in self.told:
            if (known.kind, known.what, known.why) == (kind, shown, why):
                known.count += 1
                return
        if len(self.told) >= REFUSALS_TOLD:
            self.others += 1
        else:
            self.told.append(Refusal(kind=kind, what=shown, why=why))
