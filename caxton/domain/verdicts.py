"""Is a candidate worse than what runs? A sequential test that may be looked at as often as anybody likes.

Each message of a rollout either ends well or is a *bad event* of some kind: it failed, was slow, used too many tokens. In every
look, the messages of both sides since the look before are compared: given how many bad events there were in all, their number
on the candidate's side follows Fisher's noncentral hypergeometric distribution, whose only parameter is the odds ratio of the
two sides. The product of likelihood ratios over all looks, averaged over some odds ratios above one, is an e-process: while the
candidate is no worse, it exceeds 1/alpha at any time with a probability of at most alpha (Ville's inequality), however often it
is looked at, and whatever happens to both sides at the same time. See Ramdas, Gruenwald, Vovk and Shafer, "Game-theoretic
statistics and safe anytime-valid inference" (2023).
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from pydantic import BaseModel, ConfigDict

LARGEST_RATIO = 10.0
RATIOS = tuple(LARGEST_RATIO ** ((number + 1) / 8) for number in range(8))
"""Odds ratios that are tried: from a third worse to ten times. More of them, or larger ones, found no more in simulations."""

MOST_AT_ONCE = 2_000
"""Messages of one side that are compared at once; of more, parts. The sums have as many terms as there are bad events."""


class Verdict(StrEnum):
    """What the comparison says."""

    GOOD = "good"
    """There is enough to tell, and the candidate is not worse."""
    BAD = "bad"
    """The candidate is worse."""
    INCONCLUSIVE = "inconclusive"
    """There is not enough to tell."""


class Counted(BaseModel):
    """Messages of one side, and how many of them were bad events."""

    model_config = ConfigDict(frozen=True)

    messages: int = 0
    bad: int = 0

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(messages=self.messages + other.messages, bad=self.bad + other.bad)

    @property
    def rate(self) -> float:
        """Share of bad events; 0 where there are no messages."""
        return self.bad / self.messages if self.messages else 0.0


class Comparison(BaseModel):
    """The comparison of one metric over all looks so far."""

    model_config = ConfigDict(frozen=True)

    stable: Counted = Counted()
    candidate: Counted = Counted()
    evidence: list[float] = [0.0] * len(RATIOS)
    """The logarithm of the likelihood ratio of each of :data:`RATIOS` against one."""

    @property
    def e_value(self) -> float:
        """How strongly the candidate seems worse: 20 is what a test at 5 % asks for."""
        largest = max(self.evidence)
        if largest > 600:
            return math.inf
        return math.exp(largest) * sum(math.exp(each - largest) for each in self.evidence) / len(self.evidence)

    def after(self, stable: Counted, candidate: Counted) -> "Comparison":
        """With what a further look found."""
        evidence = list(self.evidence)
        for part_stable, part_candidate in _parts(stable, candidate):
            for number, more in enumerate(_evidence(part_stable, part_candidate)):
                evidence[number] += more
        return Comparison(stable=self.stable + stable, candidate=self.candidate + candidate, evidence=evidence)

    def verdict(self, *, alpha: float, enough: bool, tolerance: float) -> Verdict:
        """What it says by now.

        Args:
            alpha: how often a candidate that is no worse may be called bad, between 0 and 1.
            enough: whether both sides have had as many messages as "good" asks for.
            tolerance: by how much the candidate's share of bad events may be above the stable one's for "good"; 0.05 is five
                points.
        """
        if self.e_value >= 1 / alpha:
            return Verdict.BAD
        return Verdict.GOOD if enough and self.candidate.rate <= self.stable.rate + tolerance else Verdict.INCONCLUSIVE


def _parts(stable: Counted, candidate: Counted) -> list[tuple[Counted, Counted]]:
    """The same in parts that are small enough, each with its share of the bad events."""
    count = -(-max(stable.messages, candidate.messages) // MOST_AT_ONCE)
    if count <= 1:
        return [(stable, candidate)]
    return list(zip(_split(stable, count), _split(candidate, count), strict=True))


def _split(counted: Counted, count: int) -> list[Counted]:
    def share(total: int, number: int) -> int:
        return total * (number + 1) // count - total * number // count

    found = [Counted(messages=share(counted.messages, n), bad=share(counted.bad, n)) for n in range(count)]
    return [Counted(messages=each.messages, bad=min(each.bad, each.messages)) for each in found]


def _evidence(stable: Counted, candidate: Counted) -> Sequence[float]:
    """Logarithms of the likelihood ratios of :data:`RATIOS` against one, of one look."""
    bad = stable.bad + candidate.bad
    if not stable.messages or not candidate.messages or not 0 < bad < stable.messages + candidate.messages:
        return [0.0] * len(RATIOS)  # nothing that would tell the sides apart
    possible = range(max(0, bad - stable.messages), min(bad, candidate.messages) + 1)
    ways = [_choose(candidate.messages, each) + _choose(stable.messages, bad - each) for each in possible]
    null = _log_sum(ways)
    found: list[float] = []
    for ratio in RATIOS:
        weight = math.log(ratio)
        total = _log_sum([way + each * weight for way, each in zip(ways, possible, strict=True)])
        found.append(candidate.bad * weight - total + null)
    return found


@lru_cache(maxsize=16_384)
def _choose(total: int, chosen: int) -> float:
    """The logarithm of the binomial coefficient."""
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _log_sum(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    return largest + math.log(sum(math.exp(each - largest) for each in logarithms))
