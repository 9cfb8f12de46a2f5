"""Triggers: signed webhooks by which other systems ask an agent."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.errors import Hint, NotFound
from caxton.domain.ids import ExecutionId, Name, Scope, derived_id
from caxton.domain.quantities import ByteSize, Seconds, one_of
from caxton.domain.secrets import SecretReference

HOOKS = "/v1/hooks/"
"""Below this path deliveries arrive."""

MOST_TRIGGERS = 50
"""Of one agent."""

LONGEST_DELIVERY = 200
"""Characters of a delivery's id."""

FOR_HOOKS = "HOOK_"
"""With what the names of environment variables begin that hold secrets of triggers."""

BEHIND_CUSTOMER = "__"
"""What stands behind the customer in the name of a variable, and nowhere else."""

_FOLDER = "hooks"
_SECRET_NAME = re.compile(r"[A-Za-z0-9_.@#:=-]{1,200}")


class Scheme(StrEnum):
    """Who signs, and how."""

    GITHUB = "github"
    """`X-Hub-Signature-256` over the body."""
    STRIPE = "stripe"
    """`Stripe-Signature` over time and body."""
    STANDARD = "standard"
    """Standard Webhooks: `webhook-signature` over id, time and body."""


class Trigger(BaseModel):
    """`[[triggers]]`: a webhook by which another system asks the agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Unique in the agent.")
    scheme: Annotated[Scheme, one_of(Scheme)] = Field(
        default=Scheme.STANDARD,
        description="How deliveries are signed: github, stripe or standard (Standard Webhooks).",
    )
    secret: SecretReference | Annotated[list[SecretReference], Field(min_length=1, max_length=3)] = Field(
        description='Where the signing secret is, such as "env:HOOK_GITHUB"; two while one is replaced.'
    )
    events: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default=[], max_length=100, description='Kinds of events that are taken, such as ["push"]; all if left out.'
    )
    tolerance: Seconds = Field(
        default=300.0, ge=1, le=86_400, description="How old the signature of a delivery may be (stripe, standard)."
    )
    max_body: ByteSize = Field(
        default=1 << 20, ge=1, le=4 << 20, description='How large a delivery may be, such as "1MB".'
    )
    capability: Name | None = Field(
        default=None, description="Which capability of this agent is asked for; the first one if left out."
    )
    content: str = Field(
        min_length=1, max_length=100_000, description="A template over the delivery; what is asked: {{ body.subject }}."
    )
    variables: dict[str, Any] = Field(default={}, description="Values for the agent's templates: {{ variables.x }}.")

    @property
    def secrets(self) -> list[str]:
        """References to the secrets that a delivery may be signed with."""
        return [self.secret] if isinstance(self.secret, str) else self.secret


class DeployedTrigger(BaseModel):
    """A trigger as it is deployed."""

    scope: Scope
    agent: str
    definition: Trigger
    hook_id: str
    """What its address ends in: random, and the same as long as there is an agent and a trigger of these names."""
    removed: bool = False
    changed_at: datetime

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def path(self) -> str:
        """Where its deliveries arrive."""
        return f"{HOOKS}{self.hook_id}"


DeliveryState = Literal["accepted", "repeated", "ignored"]


class Acknowledgement(BaseModel):
    """What became of a delivery."""

    state: DeliveryState
    """accepted: its request is durable. repeated: it was before. ignored: its kind of event is not taken."""
    execution_id: ExecutionId | None = None


def delivered_execution(scope: Scope, agent: str, name: str, delivery_id: str) -> ExecutionId:
    """The execution that a delivery stands for: always the same one."""
    return ExecutionId(derived_id("x", scope.customer, scope.workspace, "trigger", agent, name, delivery_id))


def secret_problem(reference: str, customer: str | None = None, *, is_home: bool = False) -> str | None:
    """Why a trigger may not use the secret at `reference`; None if it may.

    Whoever may deploy an agent must not reach other secrets of the server. So those for triggers are marked by their names, and
    the name says whose one is: no secret is that of two customers.

    Args:
        reference: where the secret is.
        customer: whose trigger it is; None where that is not known, and only the server can tell.
        is_home: whether that is the server's own customer, whose secrets have no customer's name in theirs.
    """
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        return _variable_problem(place, customer, is_home=is_home)
    parts = place.removeprefix("/").split("/")
    folders, name = parts[:-1], parts[-1]
    if any(part in ("", ".", "..") for part in parts) or not _SECRET_NAME.fullmatch(name):
        return "its path must have no .. in it, and a plain name at the end"
    if customer is None:
        fits = _FOLDER in folders[-2:]
        return None if fits else f"it must lie in {_FOLDER}/"
    if is_home:
        fits = folders[-1:] == [_FOLDER] and folders[-2:] != [
            _FOLDER,
            _FOLDER,
        ]  # in which a customer of that name has them
        return None if fits else f"it must lie in {_FOLDER}/ itself"
    return None if folders[-2:] == [_FOLDER, customer] else f"it must lie in {_FOLDER}/{customer}/ itself"


def _variable_problem(name: str, customer: str | None, *, is_home: bool) -> str | None:
    """Why a trigger may not use an environment variable; None if it may."""
    if customer is None or is_home:
        if not name.startswith(FOR_HOOKS):
            return f"the variable's name must begin with {FOR_HOOKS}"
        if is_home and BEHIND_CUSTOMER in name:
            return f"a variable with {BEHIND_CUSTOMER} in its name is another customer's"
        return None
    if "_" in customer or "--" in customer:  # "a_b" would be "A_B" as well as "a-b" is, and "a--b" begin as "a" does
        return f"variables cannot say that they are {customer}'s: its secrets lie in {_FOLDER}/{customer}/"
    start = f"{FOR_HOOKS}{customer.upper().replace('-', '_')}{BEHIND_CUSTOMER}"
    return None if name.startswith(start) else f"the variable's name must begin with {start}"


def unknown_trigger(agent: str, name: str, similar: str | None = None) -> NotFound:
    """The error for a trigger that is not there."""
    hints = [Hint(text=f'did you mean "{similar}"?')] if similar else []
    return NotFound(
        f'agent "{agent}" has no trigger "{name}"',
        *hints,
        Hint(text="see which there are", command="caxton trigger list"),
        details={"agent": agent, "trigger": name},
    )
