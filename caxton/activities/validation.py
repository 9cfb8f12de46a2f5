"""Checks of a deployment that only the server can make, together with those that the client has made already."""

import asyncio
from collections.abc import Collection, Sequence

from caxton.activities.releases import Release
from caxton.definitions.agents import AgentSource
from caxton.definitions.bundles import compile_bundle
from caxton.definitions.crosscheck import crosscheck
from caxton.definitions.reading import errors_of, sorted_problems
from caxton.definitions.tools import ToolSource
from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import Bundle
from caxton.domain.errors import CaxtonError, Hint, InvalidDefinitions, NotFound
from caxton.domain.ids import Digest, Scope
from caxton.domain.ports import BlobStore, ModelGateway, ToolSandbox
from caxton.domain.problems import Problem
from caxton.domain.tools import ToolFunction, ToolVersion

Versions = list[tuple[Bundle, AgentVersion | ToolVersion]]


async def validate_release(
    scope: Scope,
    release: Release,
    blobs: BlobStore,
    sandbox: ToolSandbox,
    models: ModelGateway,
    channels: Collection[str] = (),
) -> Versions:
    """Compiles and checks every changed bundle against the workspace as it would be.

    Returns:
        The new versions with their bundles; tools have the functions that they described.

    Raises:
        InvalidDefinitions: `details["problems"]` lists everything that is wrong.
    """
    problems: list[Problem] = []
    agents: list[AgentSource] = []
    tools: dict[str, Sequence[ToolFunction] | None] = {}
    versions: Versions = []
    for bundle in release.changed:
        reading = compile_bundle(bundle, await _contents(scope, bundle, blobs))
        problems += reading.problems
        if isinstance(reading.value, AgentSource):
            agents.append(reading.value)
        elif isinstance(reading.value, ToolSource):
            version = await _describe(scope, reading.value, sandbox, problems)
            tools[bundle.name] = version.functions if version else None
            if version is not None:
                versions.append((bundle, version))
        else:
            tools.setdefault(bundle.name, None)  # wrong itself, but no reason to call it missing
    kept = _kept(release, tools)
    problems += crosscheck([*agents, *kept], _names(tools))
    for agent in agents:
        problems += _check_model(agent, models)
        problems += _check_channels(agent, channels)
    if errors_of(problems):
        raise invalid_definitions(problems)
    return versions + [(agent.bundle, agent.version) for agent in agents]


def invalid_definitions(problems: Sequence[Problem]) -> InvalidDefinitions:
    """The error that lists `problems`."""
    errors = sorted_problems(errors_of(problems))
    files = len({problem.file for problem in errors})
    listed = f"{len(errors)} {'error' if len(errors) == 1 else 'errors'} in {files} {'file' if files == 1 else 'files'}"
    return InvalidDefinitions(
        f"{listed}; nothing was changed",
        Hint(text="mend them and deploy again", command="caxton deploy"),
        details={"problems": [problem.model_dump(exclude_none=True) for problem in sorted_problems(problems)]},
    )


async def _contents(scope: Scope, bundle: Bundle, blobs: BlobStore) -> dict[str, bytes]:
    async def content(digest: Digest) -> bytes | None:
        try:
            return await blobs.get(scope.customer, digest)
        except NotFound:
            return None

    found = await asyncio.gather(*(content(digest) for digest in bundle.files.values()))
    return {path: data for path, data in zip(bundle.files, found, strict=True) if data is not None}


async def _describe(
    scope: Scope, source: ToolSource, sandbox: ToolSandbox, problems: list[Problem]
) -> ToolVersion | None:
    version = source.version
    try:
        functions = await sandbox.describe(scope.customer, version.manifest, version.files)
    except CaxtonError as error:
        if error.retryable:
            raise
        hint = error.hints[0].text if error.hints else None
        problems.append(source.toml.problem(("module",), error.message, hint))
        return None
    return version.model_copy(update={"functions": list(functions)})


def _kept(release: Release, tools: dict[str, Sequence[ToolFunction] | None]) -> list[AgentSource]:
    sources: list[AgentSource] = []
    for component in release.kept:
        if component.kind == "tool":
            known = release.kept_tools.get(component.digest)
            tools.setdefault(component.name, known.functions if known else None)
        elif component.digest in release.kept_agents:
            version = release.kept_agents[component.digest]
            bundle = Bundle(kind="agent", name=component.name, files={})
            sources.append(AgentSource(version, bundle, f"agents/{component.name}.toml (deployed)"))
    return sources


def _names(tools: dict[str, Sequence[ToolFunction] | None]) -> dict[str, list[str] | None]:
    return {
        name: None if functions is None else [function.name for function in functions]
        for name, functions in tools.items()
    }


def _check_model(agent: AgentSource, models: ModelGateway) -> list[Problem]:
    try:
        models.resolve(agent.version)
    except CaxtonError as error:
        hint = error.hints[0].text if error.hints else None
        return [agent.problem(("model",), error.message, hint)]
    return []


def _check_channels(agent: AgentSource, channels: Collection[str]) -> list[Problem]:
    """An escalation to a channel that the server does not have would tell nobody."""
    problems: list[Problem] = []
    for number, capability in enumerate(agent.version.spec.capabilities):
        level = capability.sla
        if level is None:
            continue
        wanted = [(("pressure_notify",), level.pressure_notify)] if level.pressure_notify else []
        wanted += [(("escalation", n, "notify"), step.notify) for n, step in enumerate(level.escalation)]
        for where, name in wanted:
            if name not in channels:
                known = f"it has {', '.join(sorted(channels))}" if channels else "it has none"
                problems.append(
                    agent.problem(
                        ("capabilities", number, "sla", *where),
                        f'the server has no channel "{name}" ({known})',
                        f"add [channels.{name}] with a url to the server's caxton.toml",
                    )
                )
    return problems
