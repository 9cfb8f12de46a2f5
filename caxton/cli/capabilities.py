"""`caxton capabilities [QUERY]`"""

from typing import Annotated

import typer

from caxton.cli.agents import success
from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose, remark, say
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

app = new_app()


@app.command()
def capabilities(
    query: Annotated[str | None, typer.Argument(help="Part of a name or a description.")] = None,
) -> None:
    """List capabilities: versions, the agents that offer them, and their statistics."""
    with connect() as caxton:
        found = caxton.capabilities(query)
    if current().json:
        emit({"capabilities": found})
        return
    if not found:
        prose(f'no capability fits "{query}"' if query else "no agent offers anything yet")
        remark("See all with: caxton capabilities" if query else "Next: caxton init my-agent, then caxton deploy")
        return
    rows = [
        [
            capability.name,
            ", ".join(capability.versions),
            ", ".join(
                provider.agent if provider.state == "Running" else f"{provider.agent} ({in_words(provider.state)})"
                for provider in capability.providers
            ),
            success(capability.statistics),
            capability.description,
        ]
        for capability in found
    ]
    for line in table(rows, ["capability", "versions", "agents", "calls", "what it is"]):
        say(line)
