"""API keys: made here, kept as hashes, shown once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound, NotPermitted
from caxton.domain.events import SYSTEM
from caxton.domain.events.system import KeyCreated, KeyRevoked, KeyRotated, RoleDefined, RoleRemoved
from caxton.domain.ids import Scope, new_id
from caxton.domain.key_text import hash_key, new_key
from caxton.domain.permissions import (
    BUILT_IN,
    CustomRole,
    KeyGrant,
    Permission,
    Reach,
    Roles,
    permissions_everywhere,
    permissions_in,
    roles_of,
)
from caxton.domain.records import ApiKey, Records, Transaction
from caxton.recording.journal import note
from caxton.service.context import Caller
from caxton.service.left_by_keys import end_remembered, end_tool_grants

MOST_ROLES = 100
"""Roles of one customer."""

MOST_TOLD = 100
"""Grants that the event of a revoked key names."""


class Keys:
    """Use cases on API keys and roles."""

    def __init__(self, records: Records, *, home_customer: str) -> None:
        """Keep keys in `records`. Administrators of `home_customer`, whose server it is, make keys for others too."""
        self.records = records
        self.home_customer = home_customer

    async def list_keys(self, caller: Caller) -> list[ApiKey]:
        """The customer's keys."""
        return await self.records.read(lambda transaction: transaction.keys(caller.scope.customer))

    async def create(
        self,
        caller: Caller,
        name: str,
        grants: Sequence[KeyGrant],
        customer: str | None = None,
        *,
        lifetime: float | None = None,
        rate: float | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key of the caller's customer (or of `customer`), and its text, which is not kept.

        Args:
            caller: an administrator.
            name: what the key is for.
            grants: its roles.
            customer: whose key; only who manages customers may say.
            lifetime: seconds after which it expires; never if None.
            rate: requests a second that it may make; None: what the server's settings say.

        Raises:
            NotPermitted: the caller may not make keys for another customer, or keys that may do more than the caller.
            InvalidInput: there is no such role.
        """
        customer = customer or caller.scope.customer
        if customer != caller.scope.customer:
            caller.require(Permission.CUSTOMERS_MANAGE)
        roles = roles_of(await self.records.read(lambda transaction: transaction.roles(customer)))
        _check_roles(grants, roles)
        self._check_within(caller, grants, roles, customer)
        return await self.create_for(customer, name, grants, actor=caller.actor, lifetime=lifetime, rate=rate)

    async def create_for(
        self,
        customer: str,
        name: str,
        grants: Sequence[KeyGrant],
        text: str | None = None,
        *,
        actor: str = SYSTEM,
        lifetime: float | None = None,
        rate: float | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key of `customer`; for the server itself, which makes the first one."""
        text, now = text or new_key(), datetime.now(UTC)
        expires = now + timedelta(seconds=lifetime) if lifetime else None
        key = ApiKey(new_id("k"), customer, name, tuple(grants), now, expires_at=expires, rate=rate)
        hashed = hash_key(text)
        scope = Scope(customer=customer)
        told = KeyCreated(key_id=key.id, name=name, role=_named(grants), expires_at=expires)
        created = note(scope, told, key.id, actor=actor)

        def add(transaction: Transaction) -> None:
            transaction.add_key(hashed, key)
            transaction.add_events(scope, [created])

        await self.records.write(add)
        return key, text

    async def rotate(
        self, caller: Caller, key_id: str, *, overlap: float, lifetime: float | None = None
    ) -> tuple[ApiKey, str]:
        """A new key in the place of an old one, which stays valid for `overlap` seconds more.

        The new key lives for `lifetime` seconds; None: as long as the old one was made for.

        Raises:
            NotFound: the customer has no such valid key.
            NotPermitted: the key may do more than the caller.
        """
        customer, text, now = caller.scope.customer, new_key(), datetime.now(UTC)
        hashed, scope, new = hash_key(text), Scope(customer=customer), new_id("k")

        def rotate(transaction: Transaction) -> ApiKey:
            old = next((each for each in transaction.keys(customer) if each.id == key_id), None)
            if old is None or not old.is_valid(now):
                raise _no_such(key_id)
            self._check_within(caller, old.grants, roles_of(transaction.roles(customer)), customer)
            span = timedelta(seconds=lifetime) if lifetime else old.expires_at and old.expires_at - old.created_at
            key = ApiKey(
                new, customer, old.name, old.grants, now, expires_at=now + span if span else None, rate=old.rate
            )
            transaction.add_key(hashed, key)
            until = min(now + timedelta(seconds=overlap), old.expires_at or datetime.max.replace(tzinfo=UTC))
            transaction.expire_key(customer, old.id, until)
            transaction.give_remembered_to(customer, old.id, key.id)
            transaction.give_tool_grants_to(customer, old.id, key.id)
            told = KeyRotated(
                key_id=old.id, name=old.name, new_key_id=key.id, old_until=until, expires_at=key.expires_at
            )
            transaction.add_events(scope, [note(scope, told, key.id, actor=caller.actor)])
            return key

        return await self.records.write(rotate), text

    async def revoke(self, caller: Caller, key_id: str, *, with_grants: bool = False) -> None:
        """Ends a key, and with it the approvals that it let be remembered.

        Args:
            caller: an administrator.
            key_id: which; one that was revoked before will do where its grants are to end.
            with_grants: take back too what the key has granted to tools. Otherwise it holds on: it is how a workspace is
                set up, and does not leave with whoever set it up.

        Raises:
            NotFound: the customer has no such valid key.
            NotPermitted: the key may do more than the caller; or the caller may not grant rights to tools.
            InvalidState: it is the key that the caller is using.
        """
        if key_id == caller.key_id:
            raise InvalidState("this is the key that you are using", "revoke it with another administrator's key")
        if with_grants and Permission.TOOLS_GRANT not in caller.everywhere:
            raise caller.refusal(Permission.TOOLS_GRANT)
        customer = caller.scope.customer
        scope = Scope(customer=customer)

        def revoke(transaction: Transaction) -> bool:
            known = {key.id: key for key in transaction.keys(customer)}
            if key_id in known:
                self._check_within(caller, known[key_id].grants, roles_of(transaction.roles(customer)), customer)
            taken_back = end_tool_grants(transaction, caller, key_id) if with_grants else 0
            if not transaction.revoke_key(customer, key_id):
                return bool(taken_back)
            now = datetime.now(UTC)
            left = [grant.id for _, grant in transaction.tool_grants_by_key(customer, key_id) if grant.holds(now)]
            revoked = KeyRevoked(
                key_id=key_id,
                name=known[key_id].name,
                forgotten=end_remembered(transaction, caller, key_id, now),
                tool_grants_left=left[:MOST_TOLD],
            )
            transaction.add_events(scope, [note(scope, revoked, key_id, actor=caller.actor)])
            return True

        revoked = await self.records.write(revoke)
        if not revoked:
            raise _no_such(key_id)

    async def list_roles(self, caller: Caller) -> list[CustomRole]:
        """The roles that the customer has defined."""
        return await self.records.read(lambda transaction: transaction.roles(caller.scope.customer))

    async def put_role(self, caller: Caller, role: CustomRole) -> CustomRole:
        """Defines a role of the customer's own. Keys that have it may do from now on what it says.

        Raises:
            NotPermitted: the role, before or after, allows more than the caller may do.
            InvalidInput: a built-in role has that name.
            InvalidState: there are too many.
        """
        if role.name in BUILT_IN:
            raise InvalidInput(f'"{role.name}" is built in', "take another name")
        customer = caller.scope.customer
        scope = Scope(customer=customer)

        def put(transaction: Transaction) -> None:
            known = {each.name: each for each in transaction.roles(customer)}
            before = known.get(role.name)
            if before is None and len(known) >= MOST_ROLES:
                raise InvalidState(f"a customer has {MOST_ROLES} roles at most", "remove some")
            if customer != self.home_customer:
                self._refuse_server_wide(role)
            changed = [role.permissions, before.permissions if before else frozenset[Permission]()]
            self._check_permissions(caller, frozenset[Permission]().union(*changed), customer)
            if role == before:
                return
            transaction.put_role(customer, role)
            told = RoleDefined(
                name=role.name,
                permissions=sorted(map(str, role.permissions)),
                before=sorted(map(str, before.permissions)) if before else None,
            )
            transaction.add_events(scope, [note(scope, told, new_id("role"), actor=caller.actor)])

        await self.records.write(put)
        return role

    async def remove_role(self, caller: Caller, name: str) -> None:
        """Removes a role that no valid key has.

        Raises:
            NotFound: the customer has defined none of that name.
            InvalidState: a key has it.
            NotPermitted: the role allows more than the caller may do.
        """
        customer, now = caller.scope.customer, datetime.now(UTC)
        scope = Scope(customer=customer)

        def remove(transaction: Transaction) -> None:
            known = {each.name: each for each in transaction.roles(customer)}
            if name not in known:
                raise NotFound(
                    f'there is no role "{name[:64]}" of your own',
                    Hint(text="see which there are", command="caxton role list"),
                    details={"role": name[:64]},
                )
            self._check_permissions(caller, known[name].permissions, customer)
            holders = [
                key.name
                for key in transaction.keys(customer)
                if key.is_valid(now) and any(grant.role == name for grant in key.grants)
            ]
            if holders:
                raise InvalidState(
                    f'keys have the role "{name}": {", ".join(holders[:5])}', "revoke them first, or define it again"
                )
            transaction.remove_role(customer, name)
            transaction.add_events(scope, [note(scope, RoleRemoved(name=name), new_id("role"), actor=caller.actor)])

        await self.records.write(remove)

    def _check_within(self, caller: Caller, grants: Sequence[KeyGrant], roles: Roles, customer: str) -> None:
        """Nobody makes, or takes over, a key that may do more than they may themselves."""
        at_home = customer == self.home_customer
        found = permissions_everywhere(grants, roles, at_home=at_home)
        for grant in grants:
            for workspace in grant.workspaces or ():
                found |= permissions_in(workspace, grants, roles, at_home=at_home)
        self._check_permissions(caller, found, customer)

    def _refuse_server_wide(self, role: CustomRole) -> None:
        """Refuses what would have no effect, and look as if it had."""
        beyond = sorted(each for each in role.permissions if each.reach is Reach.SERVER)
        if beyond:
            raise NotPermitted(
                f"only roles of the server's own customer can have {', '.join(beyond)}",
                "leave it out; it would have no effect",
                details={"needed": beyond[0]},
            )

    def _check_permissions(self, caller: Caller, wanted: frozenset[Permission], customer: str) -> None:
        at_home = customer == self.home_customer
        server = {each for each in Permission if each.reach is Reach.SERVER}
        beyond = sorted(wanted - caller.everywhere - (frozenset() if at_home else server))
        if beyond:
            raise NotPermitted(
                f"that allows more than your key may do in all workspaces: {', '.join(beyond)}",
                "ask an administrator",
                details={"needed": beyond[0], "role": caller.role},
            )


def _no_such(key_id: str) -> NotFound:
    return NotFound(f'there is no valid key "{key_id[:64]}"', details={"key": key_id[:64]})


def _named(grants: Sequence[KeyGrant]) -> str:
    return " ".join(map(str, grants))


def _check_roles(grants: Sequence[KeyGrant], roles: Roles) -> None:
    for grant in grants:
        if grant.role not in roles:
            raise InvalidInput(
                f'there is no role "{grant.role}"',
                f"roles are {', '.join(sorted(roles))}",
                Hint(text="define one", command=f"caxton role set {grant.role} --allow PERMISSION"),
                details={"role": grant.role},
            )
