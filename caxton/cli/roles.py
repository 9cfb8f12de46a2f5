"""`caxton role list|set|remove`"""

from typing import Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose, remark, say, style
from caxton.cli.tables import table

app = new_app(help="Roles: sets of permissions that keys have.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and -.")]


@app.command("list")
def list_roles() -> None:
    """List the built-in roles and your own, with what they allow."""
    with connect() as caxton:
        roles = caxton.roles()
    if current().json:
        emit({"roles": roles})
        return
    rows = [
        [style(role.name, "bold"), "built in" if role.built_in else role.description, " ".join(role.permissions)]
        for role in roles
    ]
    for line in table(rows, ["role", "", "allows"]):
        say(line)


@app.command("set")
def set_role(
    name: Name,
    allow: Annotated[
        list[str], typer.Option(metavar="PERMISSION", help="What it allows, such as messages:send. Repeatable.")
    ],
    description: Annotated[str, typer.Option(metavar="TEXT", help="Whom it is for.")] = "",
) -> None:
    """Define or change a role of your own. The change applies at once to all keys that have it."""
    with connect() as caxton:
        role = caxton.put_role(name, allow, description)
    if current().json:
        emit(role)
        return
    prose(f"{role.name} allows {', '.join(role.permissions)}")
    remark(f"Give it to a key with: caxton key create KEY --role {role.name}")


@app.command()
def remove(name: Name) -> None:
    """Remove a role of your own that no valid key has."""
    with connect() as caxton:
        caxton.remove_role(name)
    if current().json:
        emit({"role": name, "removed": True})
    else:
        prose(f"role {name} is removed")
