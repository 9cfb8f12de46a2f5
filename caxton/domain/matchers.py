"""Patterns for the arguments of a call: which calls a rule is about.

A pattern names arguments ("amount", "order.total") and says what each must be. There are two ways to read one. A rule that
*demands* something (an approval) is about a call unless an argument plainly does not match: what is missing, or cannot be
compared, counts as matching, and so does another spelling of what the pattern says. A rule that *allows* something (a remembered
grant) is about a call only if every argument plainly matches.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from caxton.domain.deceptive import is_unseen
from caxton.domain.globs import address_fits, canonical_addresses, glob_fits

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr

LONGEST = 1_000
"""Characters of a text that a glob is held against."""

LONGEST_ADDRESS = 10_000
"""Characters of a text of which it is looked where it leads as an address; of a longer one it cannot be told."""


class Comparison(BaseModel):
    """What an argument must be, other than equal to a value; all that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: float | None = Field(default=None, allow_inf_nan=False, description="A number greater than this.")
    below: float | None = Field(default=None, allow_inf_nan=False, description="A number smaller than this.")
    like: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description='A text like this; "*" stands for anything, "?" for a letter.',
    )
    one_of: Annotated[list[Scalar], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="One of these values."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say above, below, like or one_of")
        if self.like is not None and self.like.count("*") > 5:
            raise ValueError('at most five "*"')
        return self

    def fits(self, value: object) -> bool | None:
        """Whether `value` is so; None when it cannot be compared."""
        found: list[bool | None] = []
        if self.above is not None or self.below is not None:
            number = _number(value)
            if number is None:
                found.append(None)
            else:
                found.append(
                    (self.above is None or number > self.above) and (self.below is None or number < self.below)
                )
        if self.like is not None:
            found.append(_like(value, self.like))
        if self.one_of is not None:
            each_found = [_is(value, each) for each in self.one_of]
            found.append(True if True in each_found else None if None in each_found else False)
        return False if False in found else None if None in found else True


Pattern = dict[Annotated[str, Field(min_length=1, max_length=200)], Scalar | Comparison]
"""What each named argument must be."""


def may_match(pattern: Mapping[str, Scalar | Comparison], arguments: Mapping[str, Any]) -> bool:
    """Whether no argument plainly differs from the pattern: for rules that demand something."""
    return all(_fits(wanted, arguments, name) is not False for name, wanted in pattern.items())


def surely_matches(pattern: Mapping[str, Scalar | Comparison], arguments: Mapping[str, Any]) -> bool:
    """Whether every argument is plainly as the pattern says: for rules that allow something."""
    return all(_fits(wanted, arguments, name) is True for name, wanted in pattern.items())


def surely_like(
    original: Mapping[str, Any], pattern: Mapping[str, Scalar | Comparison], arguments: Mapping[str, Any]
) -> bool:
    """Whether `arguments` are those of `original` but for the ones that the pattern names, which are as it says."""
    return _equal(_without(original, pattern), _without(arguments, pattern)) and surely_matches(pattern, arguments)


def _without(arguments: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    found: dict[str, Any] = dict(arguments)
    for name in names:
        first, dot, rest = name.partition(".")
        if name in found:
            del found[name]
        elif dot and isinstance(found.get(first), Mapping):
            found[first] = _without(found[first], [rest])
    return found


def _fits(wanted: Scalar | Comparison, arguments: Mapping[str, Any], name: str) -> bool | None:
    """Whether the argument is as wanted; None in doubt: it is missing, or a name with dots can be read in ways that differ."""
    found = {
        wanted.fits(value) if isinstance(wanted, Comparison) else _is(value, wanted)
        for value in _readings(arguments, name)
    }
    return found.pop() if len(found) == 1 else None


def _readings(arguments: Mapping[str, Any], name: str) -> Iterator[object]:
    """All that a name may stand for: "order.total" is an argument of that name, and the total of an order."""
    if name in arguments:
        yield arguments[name]
    place = name.find(".")
    while place >= 0:
        inner = arguments.get(name[:place])
        if isinstance(inner, Mapping):
            yield from _readings(cast("Mapping[str, Any]", inner), name[place + 1 :])
        place = name.find(".", place + 1)


def _is(value: object, wanted: Scalar) -> bool | None:
    """Whether `value` is `wanted`; None where a tool may take it for that."""
    if _equal(value, wanted):
        return True
    if value is None or isinstance(value, list | Mapping):
        return None
    if isinstance(value, bool) or isinstance(wanted, bool):
        texts = [str(each).lower() if isinstance(each, bool) else each for each in (value, wanted)]
        return None if all(isinstance(each, str) for each in texts) and _same_spelling(*texts) else False
    if isinstance(value, str) and isinstance(wanted, str):
        return None if _same_spelling(value, wanted) else False
    if isinstance(value, str) != isinstance(wanted, str):
        text, number = (value, wanted) if isinstance(value, str) else (wanted, value)
        read = _number(text)
        unclear = read is None and any(letter.isdigit() for letter in str(text))
        return None if unclear or read == number else False
    return False


def _same_spelling(one: object, other: object) -> bool:
    """Whether two texts may mean the same, to somebody; also where it cannot be told what one means."""
    first, second = _spellings(str(one)), _spellings(str(other))
    return first is None or second is None or not first.isdisjoint(second)


def _spellings(text: str) -> set[str] | None:
    """What a text may mean: its letters, and where it leads as an address or a path; None where that cannot be told."""
    if len(text) > LONGEST_ADDRESS:
        return None if "/" in text or "%" in text or "\\" in text else {_plain(text)}
    there = canonical_addresses(unicodedata.normalize("NFKC", text).translate(_DOTS))
    return {_plain(text), *map(_plain, there)} if there else None


_DOTS = str.maketrans({"\u3002": ".", "\uff61": "."})
"""What names of hosts take for a dot, and NFKC leaves as it is."""


def _plain(text: str) -> str:
    """What remains of a text for whoever does not mind case, width, spaces, letters that cannot be seen and dots at the end."""
    folded = unicodedata.normalize("NFKC", text).translate(_DOTS).casefold()
    seen = (letter for letter in folded if not letter.isspace() and not is_unseen(letter))
    return unicodedata.normalize("NFKC", "".join(seen)).rstrip(".")


def _like(value: object, pattern: str) -> bool | None:
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    if glob_fits(value, pattern):
        return (
            True if address_fits(value, pattern) else None
        )  # "/public/../secret" looks as if it were below "/public/"
    # A rule that demands something must not be got round by another spelling.
    known = _spellings(value)
    wanted = _plain(pattern)
    return None if known is None or any(glob_fits(each, wanted) for each in known) else False


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _equal(one: object, other: object) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool) and one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        left, right = cast("Mapping[str, object]", one), cast("Mapping[str, object]", other)
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    if isinstance(one, list) and isinstance(other, list):
        first, second = cast("list[object]", one), cast("list[object]", other)
        return len(first) == len(second) and all(_equal(*pair) for pair in zip(first, second, strict=True))
    return one == other
