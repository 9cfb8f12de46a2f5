"""Forks of executions."""

from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from caxton.api.guard import GuardedRoute, needs
from caxton.api.routes.messages import LONGEST_WAIT, IdempotencyKey, Wait, answer
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.executions import TurnView
from caxton.domain.given import GivenExecutionId
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.service.forks import ForkWanted

router = APIRouter(route_class=GuardedRoute, tags=["messages"])


class ForkBody(BaseModel):
    """From where to go on, and with whom."""

    model_config = ConfigDict(extra="forbid")

    at: int = Field(
        ge=0,
        le=10_000,
        description="The last step that is taken over, with the results of its calls; 0 for the request alone.",
    )
    agent: Name | None = Field(
        default=None, description="Who goes on; left out: the agent that did it, in the version that did it."
    )
    version: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]+$", max_length=64)] | None = Field(
        default=None, description="A version of `agent` that was deployed; left out: the live one."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.version is not None and self.agent is None:
            raise ValueError('"version" needs "agent"')
        return self


@router.post("/v1/executions/{execution_id}/fork", responses={202: {"model": TurnView}})
@needs(
    Permission.MESSAGES_SEND,
    also={
        Permission.MESSAGES_READ: "always: what is taken over is read",
        Permission.DEPLOYMENTS_WRITE: "where the version that goes on is not live, and with `version`",
    },
)
async def fork(
    execution_id: GivenExecutionId,
    body: ForkBody,
    caller: CurrentCaller,
    services: UseCases,
    response: Response,
    wait: Wait = True,
    idempotency_key: IdempotencyKey = None,
) -> TurnView:
    """Goes on from a recorded step of a turn that has ended, as a new turn.

    What was recorded up to that step is taken over, and none of it is called again. What follows is really done.
    """
    wanted = ForkWanted(execution_id, body.at, body.agent, body.version, idempotency_key)
    view = await services.forks.fork(caller, wanted, wait=LONGEST_WAIT if wait else None)
    return answer(view, response, wait=wait)
