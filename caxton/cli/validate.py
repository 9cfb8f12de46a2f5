"""`caxton validate`"""

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import complain, emit, plural, prose, remark

app = new_app()


@app.command()
def validate() -> None:
    """Check the workspace's files and show everything that is wrong, at once. Exit code 3 if there are errors.

    A running server is asked which tools and agents it has; without one, tools that are not in the folder are taken on trust.
    """
    from caxton.cli.problems import render
    from caxton.cli.workspace import load_against, workspace_folder
    from caxton.domain.errors import InvalidDefinitions
    from caxton.runtime.model_warnings import idle_flow_limits

    folder = workspace_folder()
    loaded = current().settings()
    with connect(patience=0) as caxton:
        workspace = load_against(folder, caxton)
    workspace.problems += idle_flow_limits(loaded.settings, loaded.origins)
    if current().json:
        emit({"valid": not workspace.errors, "problems": workspace.problems})
    elif workspace.problems:
        complain("\n".join(render(workspace.problems, workspace.sources, "")))
    if workspace.errors:
        raise typer.Exit(InvalidDefinitions.exit_code)
    if current().json:
        return
    found = f"{plural(len(workspace.agents), 'agent')} and {plural(len(workspace.tools), 'tool')}"
    prose(f"{found}: no errors")
    if workspace.tools:
        remark("The modules of tools are tried when they are deployed.")
