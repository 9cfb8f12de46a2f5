"""`caxton key list|show|create|rotate|revoke`"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, emit, prose, remark, say
from caxton.cli.tables import table
from caxton.domain.quantities import format_duration

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.views.access import KeyView

app = new_app(help="Make, rotate and revoke API keys.", no_args_is_help=True)


@app.command("list")
def list_keys() -> None:
    """List the API keys. The keys themselves are not stored."""
    with connect() as caxton:
        keys = caxton.keys()
    if current().json:
        emit({"keys": keys})
        return
    rows = [
        [
            key.name,
            key.role,
            ago(key.created_at),
            ago(key.last_used_at),
            _state(key),
            key.id,
        ]
        for key in keys
    ]
    for line in table(rows, ["name", "roles", "made", "used", "", "id"]):
        say(line)


def _state(key: "KeyView") -> str:
    if key.revoked_at:
        return f"revoked {ago(key.revoked_at)}"
    if key.expires_at is None:
        return ""
    left = (key.expires_at - datetime.now(UTC)).total_seconds()
    return f"expires in {format_duration(left)}" if left > 0 else f"expired {ago(key.expires_at)}"


@app.command()
def show() -> None:
    """Show the permissions of your key in the workspace."""
    with connect() as caxton:
        server = caxton.server()
    key = server.key
    if current().json:
        emit({"customer": server.customer, "workspace": server.workspace, "key": key})
        return
    if key is None:
        return
    prose(f"{key.name}: {key.role} in {server.customer}/{server.workspace}")
    for permission in key.permissions:
        prose(f"  {permission}")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="viewer, developer (the default), operator, approver, admin, or your own."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="WORKSPACE", help="Where the role holds; else everywhere. Repeatable."),
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE[:WORKSPACE,…]", help="Several roles, in place of --role. Repeatable."),
    ] = None,
    customer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose key; for the server's own administrator.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help='When it expires, such as "90d". By default never.')
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Requests a second; else what the server's settings say.")
    ] = None,
) -> None:
    """Create an API key and show it, only this once. In a pipe, only the key is printed."""
    from caxton.domain.errors import UsageError

    if grant and (role or only):
        raise UsageError("--grant says both", "give either --grant, or --role and --only")
    grants = [_grant(text) for text in grant] if grant else None
    with connect() as caxton:
        key = caxton.create_key(
            name, role, customer, workspaces=only or None, grants=grants, expires_in=expires, rate=rate
        )
    if current().json:
        emit(key)
        return
    say(key.key)
    remark(f"{key.name}: {_rights(key)}. Shown this once; use it as CAXTON_API_KEY.")
    remark(f"Undo: caxton key revoke {key.id}")


def _rights(key: "KeyView") -> str:
    """ "developer in all workspaces"."""
    return ", ".join(
        f"{each.role} in {' and '.join(each.workspaces) if each.workspaces else 'all workspaces'}"
        for each in key.grants
    )


def _grant(text: str) -> dict[str, object]:
    role, colon, workspaces = text.partition(":")
    named = [each.strip() for each in workspaces.split(",")]
    return {"role": role, "workspaces": named} if colon else {"role": role}


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its name, or its id as `caxton key list` shows it.")],
    overlap: Annotated[str, typer.Option(metavar="DURATION", help="For how long the old key stays valid.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="When the new key ends; else as the old one was made for.")
    ] = None,
) -> None:
    """Create a key to replace another one, and show it, only this once."""
    with connect() as caxton:
        found = _find(caxton, key)
        new = caxton.rotate_key(found.id, overlap=overlap, expires_in=expires)
    if current().json:
        emit(new)
        return
    say(new.key)
    remark(f"{new.name}: {_rights(new)}. Shown this once.")
    remark(f"The old key, {found.id}, stays valid for {overlap}.")


def _find(caxton: "Caxton", key: str) -> "KeyView":
    from caxton.domain.errors import NotFound, UsageError

    now = datetime.now(UTC)
    known = caxton.keys()
    valid = [each for each in known if not each.revoked_at and (not each.expires_at or each.expires_at > now)]
    named = [each for each in valid if each.id == key] or [each for each in valid if each.name == key]
    if not named:
        raise NotFound(f'there is no valid key "{key}"', "see them with: caxton key list")
    if len(named) > 1:
        raise UsageError(
            f'{len(named)} valid keys are called "{key}"', f"give an id: {', '.join(each.id for each in named)}"
        )
    return named[0]


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its name, or its id as `caxton key list` shows it.")],
    with_grants: Annotated[
        bool, typer.Option("--with-grants", help="Also revoke what it has granted to tools.")
    ] = False,
) -> None:
    """Revoke a key at once, with the approvals that it let be remembered."""
    with connect() as caxton:
        known = caxton.keys()
        key_id = key if any(each.id == key for each in known) else _find(caxton, key).id
        caxton.revoke_key(key_id, with_grants=with_grants)
    if current().json:
        emit({"id": key_id, "revoked": True})
    else:
        prose(f"{key_id} is revoked")
        if not with_grants:
            remark(
                f"What it has granted to tools holds on. Take that back too: caxton key revoke {key_id} --with-grants"
            )
