"""Problems found in files: where, what and how to fix it."""

from typing import Literal

from pydantic import BaseModel


class WrongAt(ValueError):
    """What a validator of a whole table finds wrong at one place of it."""

    def __init__(self, message: str, *place: str | int, fix: str | None = None) -> None:
        """Say what is wrong at `place`, below the table, and how to fix it."""
        super().__init__(message)
        self.place = place
        self.fix = fix


class Problem(BaseModel):
    """One thing that is wrong in one file. Lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1
    width: int = 1
    """How many characters the marker under the line is wide; 0 when no one place of the file is wrong."""
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    concealed: Literal[True] | None = None
    """The place holds a secret, so nobody is to show what stands there."""
    path: str = ""
    """The dotted path of the value, such as `limits.steps`."""
