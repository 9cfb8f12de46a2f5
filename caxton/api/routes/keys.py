"""API keys and roles."""

from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenId
from caxton.domain.ids import Name
from caxton.domain.permissions import BUILT_IN, CustomRole, KeyGrant, Permission, Role
from caxton.domain.quantities import LEAST_RATE, Seconds
from caxton.domain.records import ApiKey
from caxton.views.access import KeyView, NewKey, RoleView

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["keys"])


Lifetime = Annotated[Seconds, Field(gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)]


class KeyPage(BaseModel):
    """API keys, oldest first."""

    keys: list[KeyView]


class KeyBody(BaseModel):
    """A key to make. It has one role, or those of `grants`."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    role: Name = Field(default=Role.DEVELOPER, description="A built-in role, or one of the customer's own.")
    workspaces: Annotated[list[Name], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Where the role holds; without it in all workspaces of the customer."
    )
    grants: Annotated[list[KeyGrant], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Several roles, each with its workspaces, in place of `role` and `workspaces`."
    )
    customer: Name | None = Field(default=None, description="Whose key; only the server's own administrator may say.")

    expires_in: Lifetime | None = Field(default=None, description='Seconds, or such as "90d"; without it never.')
    rate: float | None = Field(
        default=None,
        ge=LEAST_RATE,
        le=1e6,
        allow_inf_nan=False,
        description="Requests a second that it may make of one process; without it what the server's settings say.",
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.grants is not None and self.model_fields_set & {"role", "workspaces"}:
            raise ValueError('give either "grants", or "role" and "workspaces"')
        if self.workspaces is not None and len(set(self.workspaces)) < len(self.workspaces):
            raise ValueError("a workspace is named twice")
        return self

    @property
    def wanted(self) -> list[KeyGrant]:
        """The roles that the key is to have."""
        return self.grants or [KeyGrant(role=self.role, workspaces=tuple(self.workspaces) if self.workspaces else None)]


class RotationBody(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid")

    overlap: Annotated[Seconds, Field(ge=0, le=365 * 86_400, allow_inf_nan=False)] = Field(
        default=86_400.0, description='For how long the old key stays valid: seconds, or such as "24h".'
    )
    expires_in: Lifetime | None = Field(
        default=None, description="When the new key expires; without it as long after as the old one was made for."
    )


class RolePage(BaseModel):
    """Roles: the built-in ones, then the customer's own by name."""

    roles: list[RoleView]


class RoleBody(BaseModel):
    """What a role allows."""

    model_config = ConfigDict(extra="forbid")

    permissions: Annotated[list[Permission], Field(max_length=100)]
    description: str = Field(default="", max_length=500, pattern=r"^[^\x00]*$")


@router.get("/keys")
@needs(Permission.KEYS_MANAGE)
@in_turn
async def keys(caller: CurrentCaller, services: UseCases) -> KeyPage:
    """The customer's API keys."""
    return KeyPage(keys=[_view(key) for key in await services.keys.list_keys(caller)])


@router.post("/keys", status_code=201)
@needs(Permission.KEYS_MANAGE, also={Permission.CUSTOMERS_MANAGE: "with another `customer`"})
async def create_key(body: KeyBody, caller: CurrentCaller, services: UseCases) -> NewKey:
    """Makes an API key; its text is shown this once. It cannot be one that may do more than the key that makes it."""
    key, text = await services.keys.create(
        caller, body.name, body.wanted, body.customer, lifetime=body.expires_in, rate=body.rate
    )
    return NewKey(**_view(key).model_dump(), key=text)


@router.post("/keys/{key_id}/rotate", status_code=201)
@needs(Permission.KEYS_MANAGE)
async def rotate_key(
    key_id: str, caller: CurrentCaller, services: UseCases, body: RotationBody | None = None
) -> NewKey:
    """Makes a key in the place of another one, which stays valid for a while; the new text is shown this once."""
    wanted = body or RotationBody()
    key, text = await services.keys.rotate(caller, key_id, overlap=wanted.overlap, lifetime=wanted.expires_in)
    return NewKey(**_view(key).model_dump(), key=text)


@router.delete("/keys/{key_id}", status_code=204)
@needs(Permission.KEYS_MANAGE, also={Permission.TOOLS_GRANT: "with `with_grants`, in all workspaces"})
async def revoke_key(
    key_id: GivenId,
    caller: CurrentCaller,
    services: UseCases,
    with_grants: Annotated[bool, Query(description="Take back too what the key has granted to tools.")] = False,
) -> Response:
    """Ends an API key, and with it the approvals that it let be remembered."""
    await services.keys.revoke(caller, key_id, with_grants=with_grants)
    return Response(status_code=204)


@router.get("/roles")
@needs(Permission.SERVER_READ)
async def roles(caller: CurrentCaller, services: UseCases) -> RolePage:
    """The built-in roles and the customer's own."""
    own = [_role_view(role) for role in await services.keys.list_roles(caller)]
    built_in = [RoleView(name=name, permissions=sorted(allowed), built_in=True) for name, allowed in BUILT_IN.items()]
    return RolePage(roles=[*built_in, *own])


@router.put("/roles/{name}")
@needs(Permission.ROLES_MANAGE)
async def put_role(name: Name, body: RoleBody, caller: CurrentCaller, services: UseCases) -> RoleView:
    """Defines a role of the customer's own, or defines it again: keys that have it may do from now on what it says."""
    role = CustomRole(name=name, permissions=frozenset(body.permissions), description=body.description)
    return _role_view(await services.keys.put_role(caller, role))


@router.delete("/roles/{name}", status_code=204)
@needs(Permission.ROLES_MANAGE)
async def remove_role(name: Name, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a role that no valid key has."""
    await services.keys.remove_role(caller, name)
    return Response(status_code=204)


def _role_view(role: CustomRole) -> RoleView:
    return RoleView(name=role.name, permissions=sorted(role.permissions), description=role.description)


def _view(key: ApiKey) -> KeyView:
    return KeyView(
        id=key.id,
        customer=key.customer,
        name=key.name,
        role=" ".join(map(str, key.grants)),
        grants=list(key.grants),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        rate=key.rate,
    )
