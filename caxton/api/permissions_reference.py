"""Writes docs/reference/permissions.md from the routes' declarations: `python -m caxton.api.permissions_reference`."""

from collections import defaultdict
from pathlib import Path

from caxton.api.app import build_api
from caxton.api.guard import guarded_routes
from caxton.domain.permissions import BUILT_IN, Permission, Reach

TARGET = Path(__file__).resolve().parents[2] / "docs" / "reference" / "permissions.md"

HEAD = """# Permissions and roles

Every route needs one permission, which it declares; a route without a declaration keeps the server from starting. This page is
made of the declarations (`make docs`). A role is a set of permissions. A key has roles, each for all workspaces of its customer
or for some of them; [how to manage keys and roles](../how-to/manage-keys-and-roles.md) shows how. In
[OpenAPI](openapi.json) each operation names its permission as `x-caxton-permission`.

Without the permission a request gets 403 with the code `not_permitted` and `details.needed`; that also goes for a workspace that
the key may not use, whether it exists or not. What belongs to another customer does not exist (404). Without a valid key: 401.

## Roles

✓: the role has the permission. *Everywhere*: the role must be granted for all workspaces. *Server*: besides, the key must be of
the server's own customer (setting `customer`).

"""


def page() -> str:
    """The page."""
    lines = [
        HEAD.rstrip(),
        "",
        _row(["permission", "allows to", *BUILT_IN, "reach"]),
        _row(["---"] * (len(BUILT_IN) + 3)),
    ]
    reach = {Reach.WORKSPACE: "", Reach.CUSTOMER: "everywhere", Reach.SERVER: "server"}
    for permission in Permission:
        marks = ["✓" if permission in allowed else "" for allowed in BUILT_IN.values()]
        lines.append(_row([f"`{permission}`", permission.description, *marks, reach[permission.reach]]))
    lines += ["", "## Routes", "", _row(["route", "permission", "also"]), _row(["---"] * 3)]
    for path, method, permission, also in sorted(_routes()):
        lines.append(_row([f"`{method} {path}`", permission, also]))
    return "\n".join(lines) + "\n"


def _routes() -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    for path, methods, access in guarded_routes(build_api()):
        permission = f"`{access.permission}`" if access.permission else "none: open to all"
        also = "; ".join(f"`{each}` {when}" for each, when in access.also.items())
        found += [(path, method, permission, also) for method in methods]
    return found


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def unused() -> set[Permission]:
    """Permissions that no route needs."""
    by_permission: defaultdict[Permission, int] = defaultdict(int)
    for _, _, access in guarded_routes(build_api()):
        for permission in (access.permission, *access.also):
            if permission is not None:
                by_permission[permission] += 1
    return {permission for permission in Permission if not by_permission[permission]}


if __name__ == "__main__":
    TARGET.write_text(page())
