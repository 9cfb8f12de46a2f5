"""Checks of a deployment that only the server can make, together with those that the client has made already."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from caxton.definitions.agents import AgentSource
from caxton.definitions.bundles import compile_bundle
from caxton.definitions.crosscheck import crosscheck
from caxton.definitions.reading import Reading, errors_of, sorted_problems
from caxton.definitions.tools import ToolSource
from caxton.deploying.releases import Release
from caxton.deploying.rollouts import plan_of
from caxton.deploying.schedules import too_often
from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import Bundle, wrong_in
from caxton.domain.errors import CaxtonError, Hint, InvalidDefinitions, NotFound
from caxton.domain.grants import Rights, ToolGrant, for_all_calls, for_any_call, lacking_of_server, not_granted
from caxton.domain.ids import Digest, Scope, is_name
from caxton.domain.ports import BlobStore, ModelGateway, Sandbox
from caxton.domain.problems import Problem
from caxton.domain.tools import ToolFunction, ToolVersion
from caxton.domain.triggers import Scheme

Versions = list[tuple[Bundle, AgentVersion | ToolVersion]]

ReadBundle = Callable[[str, Bundle, Mapping[str, bytes]], Awaitable[Reading[AgentSource] | Reading[ToolSource]]]
"""Reads the definition of a customer's bundle from the content of its files."""


HookSecrets = Callable[[str, Scheme, str], str | None]
"""Why a trigger of a customer, signed in a way, cannot use the secret at a reference; None if it can."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How often the schedules of a customer may be due: each time starts a workflow, and the engine serves all customers."""

    most: float = math.inf
    """Times a second, in all workspaces."""
    elsewhere: float = 0.0
    """Times a second in other workspaces."""


NO_CLOCK = Clock()


async def read_here(
    _customer: str, bundle: Bundle, contents: Mapping[str, bytes]
) -> Reading[AgentSource] | Reading[ToolSource]:
    """Reads it in this process."""
    return await asyncio.to_thread(compile_bundle, bundle, contents)


async def validate_release(
    scope: Scope,
    release: Release,
    own: Collection[Digest],
    blobs: BlobStore,
    sandbox: Sandbox,
    models: ModelGateway,
    channels: Collection[str] = (),
    grants: Mapping[str, Sequence[ToolGrant]] | None = None,
    read: ReadBundle = read_here,
    hook_secrets: HookSecrets | None = None,
    clock: Clock = NO_CLOCK,
) -> Versions:
    """Compiles and checks every changed bundle against the workspace as it would be.

    Args:
        scope: the workspace.
        release: what changes.
        own: contents that the workspace has. A bundle that names another one lacks that file, whoever else has it.
        blobs: all contents of the customer.
        sandbox: describes tools.
        models: tells whether agents' models are there.
        channels: names of the channels that escalations may use.
        grants: what the tools are granted.
        read: reads definitions.
        hook_secrets: says why a trigger of a customer cannot use a secret.
        clock: how often schedules may be due.

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
        wrong = wrong_in(bundle)
        if wrong is not None:  # of a deployment that an older version began, or that is brought back from its days
            problems.append(_refused(bundle, wrong))
            continue
        reading = await read(scope.customer, bundle, await _contents(scope, bundle, own, blobs))
        problems += reading.problems
        if isinstance(reading.value, AgentSource):
            agents.append(reading.value)
        elif isinstance(reading.value, ToolSource):
            rights = _rights(reading.value, (grants or {}).get(bundle.name, ()))
            version = await _describe(scope, reading.value, sandbox, rights, problems)
            tools[bundle.name] = version.functions if version else None
            if version is not None:
                versions.append((bundle, version))
        else:
            tools.setdefault(bundle.name, None)  # wrong itself, but no reason to call it missing
    kept = _kept(release, tools)
    problems += crosscheck([*agents, *kept], _names(tools))
    for agent in agents:
        problems += _check_rollout(agent, release)
        problems += _check_model(agent, models)
        problems += _check_remote(agent, (grants or {}).get(agent.version.name, ()))
        problems += await _check_module(scope, agent, sandbox)
        problems += _check_channels(agent, channels)
        problems += _check_secrets(scope, agent, hook_secrets)
    problems += _check_clock(agents, kept, clock)
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
        Hint(text="fix them and deploy again", command="caxton deploy"),
        details={"problems": [problem.model_dump(exclude_none=True) for problem in sorted_problems(problems)]},
    )


def _refused(bundle: Bundle, wrong: str) -> Problem:
    file = f"{bundle.kind}s/{bundle.name}" if is_name(bundle.name) else f"{bundle.kind}s"
    return Problem(file=file, width=0, message=wrong, hint="deploy the workspace again")


async def _contents(scope: Scope, bundle: Bundle, own: Collection[Digest], blobs: BlobStore) -> dict[str, bytes]:
    async def content(digest: Digest) -> bytes | None:
        if digest not in own:
            return None
        try:
            return await blobs.get(scope.customer, digest)
        except NotFound:
            return None

    found = await asyncio.gather(*(content(digest) for digest in bundle.files.values()))
    return {path: data for path, data in zip(bundle.files, found, strict=True) if data is not None}


def _rights(source: ToolSource, grants: Sequence[ToolGrant]) -> Rights:
    """What a tool has while it tells what it offers: what all calls have. A server outside of the sandbox, without which there
    is nothing to tell, what any call has."""
    of = for_all_calls if source.version.manifest.is_sandboxed else for_any_call
    return of(grants, datetime.now(UTC), source.version.digest)


async def _describe(
    scope: Scope, source: ToolSource, sandbox: Sandbox, rights: Rights, problems: list[Problem]
) -> ToolVersion | None:
    version = source.version
    try:
        functions = await sandbox.describe(scope.customer, version.manifest, version.files, rights)
    except CaxtonError as error:
        if error.retryable:
            raise
        hint = (error.hints[0].command or error.hints[0].text) if error.hints else None
        place = ("module",) if version.manifest.is_sandboxed else ("mcp_server",)
        problems.append(source.toml.problem(place, error.message, hint))
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


def _check_rollout(agent: AgentSource, release: Release) -> list[Problem]:
    """A candidate that offers something else than the live version could not share its traffic."""
    live = release.replaced_agents.get(agent.version.name)
    plan = plan_of(agent.version, release.strategy, gate=release.gate)
    if live is None or plan is None:
        return []
    before, after = ({c.name for c in each.spec.capabilities} for each in (live, agent.version))
    differ = sorted(before ^ after)
    if not differ:
        return []
    return [
        agent.problem(
            ("capabilities",),
            f"the candidate offers other capabilities than version {live.spec.version}, which is live: {', '.join(differ)}",
            "deploy it with --strategy direct, or change the capabilities in a deployment of their own",
        )
    ]


def _check_model(agent: AgentSource, models: ModelGateway) -> list[Problem]:
    try:
        models.resolve(agent.version)
    except CaxtonError as error:
        hint = error.hints[0].text if error.hints else None
        return [agent.problem(("model",), error.message, hint)]
    return []


def _check_remote(agent: AgentSource, grants: Sequence[ToolGrant]) -> list[Problem]:
    """An agent elsewhere that nobody may call could answer nothing: like a server outside of the sandbox, it is granted first."""
    remote = agent.version.remote
    if remote is None:
        return []
    lacking = lacking_of_server(remote.manifest, for_any_call(grants, datetime.now(UTC), agent.version.digest))
    if not lacking:
        return []
    name = agent.version.name
    return [agent.problem(("a2a",), not_granted(name, lacking), lacking.command(name))]


async def _check_module(scope: Scope, agent: AgentSource, sandbox: Sandbox) -> list[Problem]:
    """A component that cannot be compiled could answer nothing."""
    module = agent.version.module
    if module is None:
        return []
    try:
        await sandbox.inspect(scope.customer, module)
    except CaxtonError as error:
        if error.retryable:
            raise
        hint = (error.hints[0].command or error.hints[0].text) if error.hints else None
        return [agent.problem(("wasm", "module"), error.message, hint)]
    return []


def _check_channels(agent: AgentSource, channels: Collection[str]) -> list[Problem]:
    """A channel that the server does not have would tell nobody, and confirm nothing."""
    problems: list[Problem] = []
    for number, capability in enumerate(agent.version.spec.capabilities):
        level = capability.sla
        if level is None:
            continue
        wanted = [(("pressure_notify",), level.pressure_notify)] if level.pressure_notify else []
        wanted += [(("escalation", n, "notify"), step.notify) for n, step in enumerate(level.escalation)]
        problems += [
            _no_channel(agent, ("capabilities", number, "sla", *where), name, channels)
            for where, name in wanted
            if name not in channels
        ]
    plan = agent.version.spec.rollout
    for number, gate in enumerate(plan.gates if plan else ()):
        if gate.channel is not None and gate.channel not in channels:
            problems.append(_no_channel(agent, ("rollout", "gates", number, "channel"), gate.channel, channels))
    return problems


def _no_channel(agent: AgentSource, place: tuple[str | int, ...], name: str, channels: Collection[str]) -> Problem:
    known = f"it has {', '.join(sorted(channels))}" if channels else "it has none"
    return agent.problem(
        place,
        f'the server has no channel "{name}" ({known})',
        f"add [channels.{name}] with a url to the server's caxton.toml",
    )


def _check_secrets(scope: Scope, agent: AgentSource, hook_secrets: HookSecrets | None) -> list[Problem]:
    """A trigger without its secret would refuse all deliveries."""
    problems: list[Problem] = []
    for number, trigger in enumerate(agent.version.spec.triggers if hook_secrets else ()):
        for each, reference in enumerate(trigger.secrets):
            assert hook_secrets is not None
            wrong = hook_secrets(scope.customer, trigger.scheme, reference)
            if wrong is not None:
                place = ("secret",) if isinstance(trigger.secret, str) else ("secret", each)
                hint = "the server that takes deliveries, and its workers, need it: set it there and deploy again"
                problems.append(agent.problem(("triggers", number, *place), wrong, hint))
    return problems


def _check_clock(agents: Sequence[AgentSource], kept: Sequence[AgentSource], clock: Clock) -> list[Problem]:
    """A customer's schedules take only so much of the engine. Whoever deploys none hears of no others."""
    new = [agent for agent in agents if agent.version.spec.schedules]
    times = sum(each.per_second for agent in [*agents, *kept] for each in agent.version.spec.schedules)
    if not new or times + clock.elsewhere <= clock.most:
        return []
    return [new[0].problem(("schedules",), *too_often(times + clock.elsewhere, clock.most))]
