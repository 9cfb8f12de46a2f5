"""What a connection to a server has: what its manifest asks for, as far as that is granted and no rule is against it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.secrets import Secrets
from caxton.domain.errors import Hint, SecretMissing, ToolError, ToolNotGranted, ToolUnavailable
from caxton.domain.grants import Missing, Rights, lacking_of_server, not_granted
from caxton.domain.mcp_servers import McpServer
from caxton.domain.never_granted import names_a_secret
from caxton.domain.refusals import Refusals
from caxton.domain.tools import ToolManifest


@dataclass(frozen=True)
class Access:
    """A server, and what it is given."""

    server: McpServer
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Of requests, secrets included."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Of a child's environment, beside those that every child gets."""

    @property
    def secrets(self) -> list[str]:
        """What is not for others to see."""
        named = {name for name, _, variable in self.server.header_parts() if variable}
        variables = [value for name, value in self.variables.items() if names_a_secret(name)]
        return [*(self.headers[name] for name in named), *variables]

    @property
    def key(self) -> tuple[object, ...]:
        """What two calls have in common that may use one connection."""
        return self.server.place, tuple(sorted(self.headers.items())), tuple(sorted(self.variables.items()))


def access_of(subject: Subject, manifest: ToolManifest, rights: Rights, guard: Guard, secrets: Secrets) -> Access:
    """What a call of a server's function gets.

    Args:
        subject: the call, for errors.
        manifest: of the tool.
        rights: what the call is granted.
        guard: knows what no tool gets.
        secrets: looks variables up.

    Raises:
        ToolNotGranted: something is lacking without which there is no server.
        ToolUnavailable: a variable is not there, or may be given to no tool.
    """
    server = manifest.mcp_server
    assert server is not None
    needed = set(server.variables)
    lacking = lacking_of_server(manifest, rights)
    if lacking:
        raise _not_granted(subject, lacking)
    problem = guard.command_problem(server.line) if server.line else None
    if problem is not None:
        raise ToolUnavailable(f"{server.line}: {problem}", details=subject.details())
    values = {name: value for name in needed if (value := _value(subject, name, guard, secrets)) is not None}
    if len(values) < len(needed):
        unset = sorted(needed - set(values))[0]
        raise ToolUnavailable(
            f"the environment variable {unset} is not set, and {subject.tool} sends it to its server",
            Hint(text="set it in the environment of the server", command=f"export {unset}=…"),
            details={**subject.details(), "variable": unset},
        )
    headers = {name: text + (values[variable] if variable else "") for name, text, variable in server.header_parts()}
    variables: dict[str, str] = {}
    if server.line:
        for name in sorted(set(manifest.permissions.environment) & rights.environment):
            value = _value(subject, name, guard, secrets)
            if value is not None:
                variables[name] = value
    return Access(server, headers, variables)


def _value(subject: Subject, name: str, guard: Guard, secrets: Secrets) -> str | None:
    """The variable's value; None where it is not set."""
    try:
        value = secrets.get(f"env:{name}").get_secret_value() if names_a_secret(name) else os.environ[name]
    except (SecretMissing, KeyError):
        return None
    problem = guard.variable_problem(name, value)
    if problem is not None:
        raise ToolUnavailable(f"{name} is given to no tool: {problem}", details=subject.details())
    return value


def _not_granted(subject: Subject, lacking: Missing) -> ToolError:
    refused = Refusals()
    for origin in lacking.network:
        refused.add("network", origin, "not_granted")
    for name in lacking.environment:
        refused.add("environment", name, "not_granted")
    for line in lacking.commands:
        refused.add("commands", line, "not_granted")
    error = ToolNotGranted(
        not_granted(subject.tool, lacking),
        Hint(text="an operator grants it", command=lacking.command(subject.tool)),
        details={**subject.details(), "missing": lacking.told()},
    )
    error.refused = refused
    return error
