"""`caxton key list|create|revoke`"""

from typing import Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, emit, remark, say, table

_ROLES = ("viewer", "developer", "operator", "admin")

app = new_app(help="Make and revoke API keys.", no_args_is_help=True)


@app.command("list")
def list_keys() -> None:
    """List the API keys. The keys themselves are kept nowhere."""
    with connect() as caxton:
        keys = caxton.keys()
    if current().json:
        emit({"keys": keys})
        return
    rows = [
        [key.id, key.name, key.role, ago(key.created_at), ago(key.revoked_at) if key.revoked_at else ""] for key in keys
    ]
    for line in table(rows, ["id", "name", "role", "made", "revoked"]):
        say(line)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help=f"{', '.join(_ROLES)}.")] = "developer",
    customer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose key; for the server's own administrator.")
    ] = None,
) -> None:
    """Make an API key and show it, this once. In a pipe the key alone is printed."""
    from caxton.domain.errors import UsageError

    if role not in _ROLES:
        raise UsageError(f'"{role}" is no role', f"roles are {', '.join(_ROLES)}")
    with connect() as caxton:
        key = caxton.create_key(name, role, customer)
    if current().json:
        emit(key)
        return
    say(key.key)
    remark(f"Shown this once. Use it as CAXTON_API_KEY; undo with: caxton key revoke {key.id}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton key list` shows it.")]) -> None:
    """Make a key worthless, at once."""
    with connect() as caxton:
        caxton.revoke_key(key_id)
    if current().json:
        emit({"id": key_id, "revoked": True})
    else:
        say(f"{key_id} is revoked")
