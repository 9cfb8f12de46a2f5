"""Identifiers.

Every record belongs to a customer and a workspace, so almost every function takes a :class:`Scope`. Ids that must be
the same after a retry are derived from their parts; ids that only have to be new are random and sort by time.
"""

import hashlib
import os
import re
import time
from functools import lru_cache
from typing import Annotated, NewType

from pydantic import BaseModel, ConfigDict, StringConstraints

ExecutionId = NewType("ExecutionId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
DeploymentId = NewType("DeploymentId", str)
Digest = NewType("Digest", str)
"""Lower-case hexadecimal SHA-256 of some content (64 characters)."""

DIGEST_PATTERN = r"^[0-9a-f]{64}$"

NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$"
"""Names of customers, workspaces, agents, tools and capabilities: safe in URLs, file names, workflow ids and labels."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]

DEFAULT_CUSTOMER = "local"
DEFAULT_WORKSPACE = "default"

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u to misread. Ids sort as their numbers do."""

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_NAME = re.compile(NAME_PATTERN)
_OWN = re.compile(f"[a-z]+_[{ALPHABET}]{{22}}")
_DIGEST = re.compile(DIGEST_PATTERN)


class Scope(BaseModel):
    """Whose data an operation touches. A query cannot be written without one."""

    model_config = ConfigDict(frozen=True)

    customer: Name = DEFAULT_CUSTOMER
    workspace: Name = DEFAULT_WORKSPACE

    def __str__(self) -> str:
        return f"{self.customer}/{self.workspace}"

    # What is kept in memory is kept by scope, and pydantic's own comparison takes several microseconds.
    def __hash__(self) -> int:
        return hash((self.customer, self.workspace))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and (self.customer, self.workspace) == (other.customer, other.workspace)


def is_name(text: str) -> bool:
    """Whether `text` may name a customer, workspace, agent, tool or capability."""
    return _NAME.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a content address."""
    return _DIGEST.fullmatch(text) is not None


def is_own(identity: str) -> bool:
    """Whether `identity` has the form of an id that is made here."""
    return _OWN.fullmatch(identity) is not None


def _base32(number: int) -> str:
    """110 bits as 22 characters, two at a time: ids are made for everything, so it is worth a table."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(100, -1, -10)])


def new_id(prefix: str) -> str:
    """A new id such as `c_01jb2…`: 48 bits of milliseconds, 62 random bits, 22 base-32 characters, sorted by time."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 62) | (int.from_bytes(os.urandom(8), "big") >> 2)
    return f"{prefix}_{_base32(value)}"


@lru_cache(maxsize=4096)
def leading_bits(identity: str) -> str:
    """The first 48 bits of an id's number, in hexadecimal: of an id from :func:`new_id`, its time."""
    number = 0
    for character in identity.partition("_")[2][:10]:
        number = number << 5 | max(0, ALPHABET.find(character))
    return f"{number >> 2:012x}"


def derived_id(prefix: str, *parts: str) -> str:
    """An id that is the same whenever it is made from the same parts (110 bits of SHA-256)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:14], 'big') >> 2)}"


def id_near(prefix: str, near: str, *parts: str) -> str:
    """Like :func:`derived_id`, with the beginning of the id `near`: of one from :func:`new_id`, its time.

    What belongs together then lies together in every index. Ids that are spread over an index cost a page of it each.
    """
    digest = hashlib.sha256("\x1f".join((near, *parts)).encode()).digest()
    return f"{prefix}_{near.partition('_')[2][:10]}{_base32(int.from_bytes(digest[:14], 'big') >> 2)[10:]}"


def digest_of(content: bytes) -> Digest:
    """The content address of `content`."""
    return Digest(hashlib.sha256(content).hexdigest())
