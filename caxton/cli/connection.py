"""The connection of a command to its server."""

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from caxton.cli.invocation import current

if TYPE_CHECKING:
    from caxton.client import Caxton


def connect(*, patience: float = 15.0) -> "Caxton":
    """A client for the server that the settings name, or that runs on the data folder.

    Args:
        patience: seconds for which a request is repeated after the connection was lost.

    Raises:
        Exit: the user does not want their key to go to a server that only a file names.
    """
    from caxton.cli.known_servers import may_have_the_key
    from caxton.client.discovery import discover
    from caxton.client.sync_client import Caxton
    from caxton.client.transport_sync import Transport
    from caxton.domain.errors import InvalidSettings

    given = current()
    try:
        connection = discover(url=given.url, workspace=given.workspace, config=given.config)
    except InvalidSettings:
        given.settings()  # says the same with line and column
        raise
    if given.url:
        connection = replace(connection, url_from="--url")
    if not may_have_the_key(connection):
        raise typer.Exit(1)
    return Caxton(transport=Transport(connection, patience=patience, channel="cli"))
