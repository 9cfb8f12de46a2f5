"""`caxton version`"""

from caxton import __version__
from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import emit, say

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
    say(f"caxton {__version__} · Python {platform.python_version()}")
    say(f"server {server}" if server else "no server runs here")
