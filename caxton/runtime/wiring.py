"""Joins ports and adapters: the parts of a server, built from settings."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from caxton import __version__
from caxton.activities.agents import AgentActivities
from caxton.activities.auto_store import AutoStore
from caxton.activities.batch import do_steps
from caxton.activities.conversations import ConversationActivities
from caxton.activities.deployments import DeploymentActivities
from caxton.activities.memories import Memories
from caxton.activities.memory_bulk import BulkMemory
from caxton.activities.notices import NoticeActivities
from caxton.activities.retention import RetentionActivities
from caxton.activities.short_calls import AT_ONCE
from caxton.activities.step import StepPorts
from caxton.activities.steps import OpenTurns, StepActivities
from caxton.adapters import templates, webhooks
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.models import Models
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.adapters.store.database import AtOnceRecords, Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.adapters.streams import LocalStream
from caxton.api.services import ApiLimits, Services
from caxton.domain.channels import Channel
from caxton.domain.errors import Hint, InvalidSettings
from caxton.routing.directory import Directory
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.memory import build_backend, build_embedder
from caxton.runtime.settings import Settings
from caxton.service.agents import Agents
from caxton.service.approvals import Approvals
from caxton.service.at_once import Opener
from caxton.service.budgets import Budgets
from caxton.service.conversations import Conversations
from caxton.service.deployments import Deployments
from caxton.service.engine import Engine
from caxton.service.event_log import EventLog
from caxton.service.forsaken import Forsaken
from caxton.service.inbox import InboxSender
from caxton.service.keys import Keys
from caxton.service.memory import MemoryAdministration
from caxton.service.onboarding import Onboarding
from caxton.service.projections import Projections
from caxton.service.room import DiskRoom
from caxton.service.server_log import ServerLog
from caxton.service.system import Health
from caxton.service.tools import Tools
from caxton.service.turns import Turns
from caxton.service.watch import Watch
from caxton.workflows.agent import AgentWorkflow
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.deployment import DeploymentWorkflow
from caxton.workflows.inbox import InboxWorkflow
from caxton.workflows.notice import NoticeWorkflow
from caxton.workflows.policies import GRACEFUL_STOP, HEARTBEAT_EVERY, STICKY_TIMEOUT
from caxton.workflows.retention import MemoryRetentionWorkflow

CACHED_WORKFLOWS = 800
"""Workflows that a worker keeps in memory, some 55 KB each: more than can be at work at the same time (a worker does a hundred
activities at once). Others, such as agents that nobody starts or stops, are replayed when something happens to them."""

WORKFLOWS = (
    ConversationWorkflow,
    InboxWorkflow,
    AgentWorkflow,
    DeploymentWorkflow,
    NoticeWorkflow,
    MemoryRetentionWorkflow,
)


@dataclass
class Parts:
    """What API and worker of one process share."""

    settings: Settings
    database: Database
    blobs: FileBlobs
    sandbox: WasmtimeSandbox
    models: Models
    stream: LocalStream
    directory: Directory
    room: DiskRoom
    memories: Memories | None

    async def close(self) -> None:
        """Gives everything up."""
        if self.memories is not None:
            self.memories.close()
        await self.models.aclose()
        self.sandbox.close()
        self.database.close()


def build_parts(settings: Settings, folder: DataFolder) -> Parts:
    """Opens the database (migrating it) and prepares everything else.

    Raises:
        StoreUnavailable: the database does not answer, or is of a newer version.
    """
    database = Database(settings.store.url or sqlite_url(folder.database), synchronous=settings.store.synchronous)
    migrate(database)
    directory = Directory()
    database.on_registry_change = directory.changed
    blobs = FileBlobs(folder.blobs)
    return Parts(
        settings=settings,
        database=database,
        blobs=blobs,
        sandbox=WasmtimeSandbox(
            blobs,
            folder.cache / "tools",
            size=settings.tools.sandboxes,
            allowed_paths=[Path(path) for path in settings.tools.allowed_paths],
        ),
        models=Models(settings.models, templates),
        stream=LocalStream(),
        directory=directory,
        room=DiskRoom(folder.path, settings.limits.free_disk),
        memories=_memories(settings, folder, database),
    )


def _memories(settings: Settings, folder: DataFolder, database: Database) -> Memories | None:
    if not settings.memory.enabled:
        return None
    embedder = build_embedder(settings.memory.embedder)
    root = folder.path / "memory"
    used_before = root.is_dir()
    found = Memories(settings.memory.backend, build_backend(settings.memory, root, embedder), embedder, database)
    if used_before:
        found.warm()
    return found


def build_worker(parts: Parts, client: Client, task_queue: str, open_turns: OpenTurns | None = None) -> Worker:
    """A worker for workflows and activities; `open_turns` opens turns for it."""
    parts.database.start_writer()
    engine = Engine(client, task_queue)
    ports = step_ports(parts)
    agents = Agents(parts.database, parts.models, parts.directory, engine)
    steps = StepActivities(ports, open_turns)
    lifecycle = AgentActivities(parts.database, parts.models, parts.directory)
    channels = _channels(parts.settings)
    deployments = DeploymentActivities(
        parts.database,
        parts.blobs,
        parts.sandbox,
        parts.models,
        agents.notify,
        channels,
        parts.memories.warm if parts.memories else None,
    )
    notices = NoticeActivities(parts.database, channels, webhooks.post)
    conversations = ConversationActivities(parts.database)
    activities: list[Any] = [
        steps.run_fast_steps,
        steps.call_model,
        steps.call_tool,
        steps.open_turns,
        lifecycle.load_agent,
        lifecycle.project_agent_state,
        lifecycle.count_work_in_hand,
        deployments.validate_deployment,
        deployments.activate_deployment,
        deployments.fail_deployment,
        deployments.notify_agents,
        conversations.end_conversation,
        notices.deliver_notice,
        notices.record_notice,
    ]
    if parts.memories is not None:
        retention = RetentionActivities(BulkMemory(parts.memories, parts.database, parts.blobs))
        activities += [retention.list_retentions, retention.apply_retention, retention.expire_undo]
    return Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=activities,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=GRACEFUL_STOP,
        max_cached_workflows=CACHED_WORKFLOWS,
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_EVERY),
    )


def build_server_log(parts: Parts) -> ServerLog:
    """What this server tells of itself."""
    return ServerLog(parts.database, parts.settings.customer, __version__)


def build_watch(parts: Parts, client: Client, task_queue: str, server_log: ServerLog) -> Watch:
    """What happens because time passes. Every worker has one."""
    engine = Engine(client, task_queue)
    ports = step_ports(parts)
    forsaken = Forsaken(parts.database, engine, lambda steps: do_steps(ports, steps))
    projections = Projections(parts.database)

    async def follow() -> None:
        await projections.follow_all()
        await server_log.milestones()

    remember = AutoStore(parts.memories, parts.database, parts.blobs).remember if parts.memories else None
    return Watch(parts.database, engine, forsaken.sweep, follow, remember)


def step_ports(parts: Parts) -> StepPorts:
    """The world, as steps see it."""
    return StepPorts(
        records=parts.database,
        blobs=parts.blobs,
        sandbox=parts.sandbox,
        models=parts.models,
        templates=templates,
        stream=parts.stream,
        directory=parts.directory,
        memories=parts.memories,
    )


def build_opener_ports(settings: Settings) -> tuple[StepPorts, Callable[[], None]]:
    """What opening turns needs, in a process of its own; and what gives it up again."""
    folder = DataFolder(Path(settings.data_dir))
    database = Database(settings.store.url or sqlite_url(folder.database), synchronous=settings.store.synchronous)
    database.start_writer()
    blobs = FileBlobs(folder.blobs)
    sandbox = WasmtimeSandbox(blobs, folder.cache / "tools", size=1, brief=AT_ONCE, allowed_paths=[])
    ports = StepPorts(
        records=AtOnceRecords(database),
        blobs=blobs,
        sandbox=sandbox,
        models=Models(settings.models, templates),
        templates=templates,
        stream=LocalStream(),
        directory=Directory(),
        only_opens=True,
    )

    def close() -> None:
        sandbox.close()
        database.close()

    return ports, close


def _channels(settings: Settings) -> dict[str, Channel]:
    """The channels that notices go to.

    Raises:
        InvalidSettings: notices of one could not be signed: better told now than when something has gone wrong.
    """
    found = {name: Channel(url=each.url, secret_env=each.secret_env) for name, each in settings.channels.items()}
    for name, channel in found.items():
        problem = webhooks.secret_problem(channel)
        if problem is not None:
            raise InvalidSettings(
                f"channel {name}: {problem}",
                Hint(text="make a secret", command=f"export {channel.secret_env}=whsec_$(openssl rand -base64 24)"),
            )
    return found


def build_services(
    parts: Parts, client: Client, task_queue: str, facts: dict[str, object], opener: Opener | None
) -> Services:
    """The use cases, for the API; `opener` answers at once what can be."""
    engine = Engine(client, task_queue)
    limits = parts.settings.limits
    inbox = InboxSender(engine, most_waiting=limits.waiting, opener=opener)
    turns = Turns(parts.database, parts.blobs, parts.stream, parts.directory, inbox, parts.room)
    return Services(
        turns=turns,
        conversations=Conversations(parts.database, parts.directory, engine, turns),
        agents=Agents(parts.database, parts.models, parts.directory, engine),
        deployments=Deployments(parts.database, parts.blobs, engine, parts.room),
        approvals=Approvals(parts.database, engine),
        budgets=Budgets(parts.database),
        memory=MemoryAdministration(parts.memories, parts.database, parts.blobs),
        event_log=EventLog(parts.database),
        projections=Projections(parts.database),
        onboarding=Onboarding(parts.database),
        tools=Tools(parts.database, parts.blobs, parts.sandbox),
        keys=Keys(parts.database, home_customer=parts.settings.customer),
        health=Health(),
        blobs=parts.blobs,
        facts=facts,
        limits=ApiLimits(limits.request_bytes, limits.content_bytes, limits.blob_bytes),
    )
