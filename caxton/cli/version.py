"""`caxton version`"""

from caxton import __version__
from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose

app = new_app()


@app.command()
def version() -> None:
    """Show the versions of Caxton and of the server, if one runs."""
    import platform

    from caxton.domain.errors import ServerUnreachable

    server = None
    try:
        with connect(patience=0) as caxton:
            server = caxton.health().version
    except ServerUnreachable:
        pass
    if current().json:
        emit({"caxton": __version__, "python": platform.python_version(), "server": server})
        return
    prose(f"caxton {__version__} · Python {platform.python_version()}")
    prose(f"server {server}" if server else "no server runs here")
