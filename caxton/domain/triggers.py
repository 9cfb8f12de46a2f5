"""Triggers: signed webhooks by which other systems ask an agent."""

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


def secret_problem(reference: str, customer: str | None = None) -> str | None:
    """Why a trigger may not use the secret at `reference`; None if it may.

    Whoever may deploy an agent must not reach other secrets of the server. So those for triggers are marked by their names, and
    those of other customers than the server's own by the customer's name.

    Args:
        reference: where the secret is.
        customer: whose trigger it is, unless it is the server's own customer.
    """
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        start = FOR_HOOKS if customer is None else f"{FOR_HOOKS}{customer.upper().replace('-', '_')}__"
        return None if place.startswith(start) else f"the variable's name must begin with {start}"
    folder = "hooks" if customer is None else f"hooks/{customer}"
    if scheme == "file" and ".." in place.split("/"):
        return "its path must have no .. in it"
    if f"/{folder}/" not in f"/{place}":
        return f"it must lie in {folder}/"
    return None


def unknown_trigger(agent: str, name: str, similar: str | None = None) -> NotFound:
    """The error for a trigger that is not there."""
    hints = [Hint(text=f'did you mean "{similar}"?')] if similar else []
    return NotFound(
        f'agent "{agent}" has no trigger "{name}"',
        *hints,
        Hint(text="see which there are", command="caxton trigger list"),
        details={"agent": agent, "trigger": name},
    )
