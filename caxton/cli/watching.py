"""`caxton deploy --watch`: deploys again whenever a file of the workspace has changed."""

from collections.abc import Callable
from pathlib import Path

from caxton.cli.invocation import current
from caxton.cli.output import complain, prose, say, style
from caxton.domain.errors import CaxtonError

POLL_INTERVAL = 200
"""Milliseconds until it begins to watch, and between looks for Ctrl-C."""

_WATCHED = ("agents", "tools", "caxton.toml")


def deploy_on_change(folder: Path, deploy: Callable[[], None]) -> None:
    """Calls `deploy` now and after every change, until Ctrl-C. What is wrong is told, and the next change is another try.

    Args:
        folder: the workspace.
        deploy: reads it and deploys.
    """
    from watchfiles import DefaultFilter, watch

    belongs = DefaultFilter()

    def is_ours(change: object, path: str) -> bool:
        parts = Path(path).relative_to(folder).parts if Path(path).is_relative_to(folder) else ()
        return bool(parts) and parts[0] in _WATCHED and belongs(change, path)  # pyright: ignore[reportArgumentType]

    try:
        found = watch(folder, watch_filter=is_ours, debounce=300, rust_timeout=POLL_INTERVAL, yield_on_timeout=True)
        next(found)  # begins to watch before the files are read: no change falls in between
        _try(deploy)
        _wait()
        for changes in found:
            if changes:
                say()
                _try(deploy)
                _wait()
    except KeyboardInterrupt:
        say()
        prose("Stopped watching. What is deployed stays.")


def _try(deploy: Callable[[], None]) -> None:
    from caxton.cli.errors import render

    try:
        deploy()
    except CaxtonError as error:
        complain("\n".join(render(error, debug=current().debug)))


def _wait() -> None:
    say(style("Watching agents/, tools/ and caxton.toml … (Ctrl-C stops)", "dim"))
