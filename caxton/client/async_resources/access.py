"""Keys and roles.

`sync_resources/access.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from caxton.client.async_resources.calls import AsyncCalls, segment
from caxton.client.transport_async import given
from caxton.views.access import KeyView, NewKey, RoleView


class AsyncAccessCalls(AsyncCalls):
    """Keys and roles."""

    async def keys(self) -> list[KeyView]:
        """All API keys of the customer, without the keys themselves."""
        return [KeyView.model_validate(key) for key in (await self._get("/v1/keys"))["keys"]]

    async def create_key(
        self,
        name: str,
        role: str | None = None,
        customer: str | None = None,
        *,
        workspaces: Sequence[str] | None = None,
        grants: Sequence[Mapping[str, Any]] | None = None,
        expires_in: float | str | None = None,
        rate: float | None = None,
    ) -> NewKey:
        """Makes an API key. It is in the answer and nowhere else.

        Args:
            name: what the key is for.
            role: a built-in role ("viewer", "developer", "operator", "approver", "admin") or one of the customer's own.
            customer: whose key; only the server's own administrator may say.
            workspaces: where the role holds; in all workspaces if None.
            grants: several roles, each {"role": …, "workspaces": […]}, in place of `role` and `workspaces`.
            expires_in: when it expires: seconds, or such as "90d"; never if None.
            rate: requests a second that it may make; what the server's settings say if None.
        """
        body = given(
            {
                "name": name,
                "role": role,
                "customer": customer,
                "workspaces": workspaces,
                "grants": grants,
                "expires_in": expires_in,
                "rate": rate,
            }
        )
        return NewKey.model_validate(await self._post("/v1/keys", body))

    async def rotate_key(
        self, key_id: str, *, overlap: float | str = "24h", expires_in: float | str | None = None
    ) -> NewKey:
        """Makes a key in the place of another one, which stays valid for `overlap` (seconds, or such as "24h")."""
        body = given({"overlap": overlap, "expires_in": expires_in})
        return NewKey.model_validate(await self._post(f"/v1/keys/{segment(key_id)}/rotate", body))

    async def revoke_key(self, key_id: str, *, with_grants: bool = False) -> None:
        """Revokes a key; `with_grants`: also revokes what it has granted to tools."""
        params = {"with_grants": "true"} if with_grants else None
        await self._transport.request("DELETE", f"/v1/keys/{segment(key_id)}", params=params)

    async def roles(self) -> list[RoleView]:
        """The built-in roles and the customer's own."""
        return [RoleView.model_validate(role) for role in (await self._get("/v1/roles"))["roles"]]

    async def put_role(self, name: str, permissions: Sequence[str], description: str = "") -> RoleView:
        """Defines a role of the customer's own, or defines it again."""
        body = {"permissions": list(permissions), "description": description}
        answer = await self._transport.request("PUT", f"/v1/roles/{segment(name)}", json=body)
        return RoleView.model_validate(answer.json())

    async def remove_role(self, name: str) -> None:
        """Removes a role that no valid key has."""
        await self._transport.request("DELETE", f"/v1/roles/{segment(name)}")
