"""Joins ports and adapters: the parts of a server, built from settings."""

from datetime import timedelta
from functools import partial
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from caxton import __version__
from caxton.activities.agents import AgentActivities
from caxton.activities.conversations import ConversationActivities
from caxton.activities.deployments import DeploymentActivities
from caxton.activities.gates import GateActivities
from caxton.activities.judging import Judging
from caxton.activities.notices import NoticeActivities
from caxton.activities.push import PushActivities
from caxton.activities.retention import RetentionActivities
from caxton.activities.rollouts import RolloutActivities
from caxton.activities.schedules import ScheduleActivities
from caxton.activities.steps import StepActivities
from caxton.adapters import templates, webhooks
from caxton.adapters.oidc import Oidc
from caxton.adapters.secrets import SECRETS
from caxton.api.services import ApiLimits, Services
from caxton.deploying.drains import KIND as DRAIN
from caxton.governance.alerts import KIND
from caxton.memory.auto_store import AutoStore
from caxton.memory.bulk import BulkMemory
from caxton.projections.views import PROJECTIONS
from caxton.recording.push import KIND as PUSH
from caxton.runtime.a2a import card_signer, push_policy, push_sender
from caxton.runtime.audit import build_lag
from caxton.runtime.channels import channels_of
from caxton.runtime.descriptors import make_room_for
from caxton.runtime.encryption import build_codec
from caxton.runtime.fast_path_ports import flow_rules
from caxton.runtime.guard import base_limits, standing_grants
from caxton.runtime.hook_secrets import hook_secret_problem
from caxton.runtime.parts import Parts, accept_here, step_ports
from caxton.service.agent_health import AgentHealthWorker, HealthRules
from caxton.service.agents import Agents
from caxton.service.alerts import Alerts
from caxton.service.approvals import Approvals
from caxton.service.archive import Archive
from caxton.service.audit_sinks import sink_view
from caxton.service.authentication import Authentication
from caxton.service.automatic_requests import AutomaticRequests
from caxton.service.breakers import Breakers
from caxton.service.budgets import Budgets
from caxton.service.call_statistics import CallStatistics
from caxton.service.codec import Codec
from caxton.service.conversations import Conversations
from caxton.service.deadline_worker import DeadlineWorker
from caxton.service.deletion import Deletions
from caxton.service.delivery import Delivery
from caxton.service.deployments import Deployments
from caxton.service.drains import Drains
from caxton.service.engine import Engine
from caxton.service.event_log import EventLog
from caxton.service.fast_path import Accept, FastPath
from caxton.service.files import Files
from caxton.service.forks import Forks
from caxton.service.free_room import FreeRoom
from caxton.service.hooks import Hooks
from caxton.service.keys import Keys
from caxton.service.listening import Listening
from caxton.service.memory import MemoryAdministration
from caxton.service.onboarding import Onboarding
from caxton.service.projections import Projections
from caxton.service.push import PushConfigs, PushNotifier, start_push
from caxton.service.queues import Queues
from caxton.service.rates import Rates
from caxton.service.refusals import Refusals
from caxton.service.retention import Retention
from caxton.service.rollouts import Rollouts
from caxton.service.schedule_engine import ScheduleEngine
from caxton.service.schedule_runs import ScheduleRuns
from caxton.service.schedules import Schedules
from caxton.service.seals import Seals
from caxton.service.server_log import ServerLog
from caxton.service.storage import Storage
from caxton.service.system import HealthChecks
from caxton.service.tallies import Tallies
from caxton.service.tasks import Tasks
from caxton.service.tool_grants import ToolGrants
from caxton.service.tool_surfaces import ToolSurfaces
from caxton.service.tools import Tools
from caxton.service.triggers import Triggers
from caxton.service.turns import Turns
from caxton.service.workers import Workers
from caxton.workflows.agent import AgentWorkflow
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.deployment import DeploymentWorkflow
from caxton.workflows.notice import NoticeWorkflow
from caxton.workflows.policies import GRACEFUL_STOP, HEARTBEAT_EVERY, STICKY_TIMEOUT
from caxton.workflows.push import PushWorkflow
from caxton.workflows.retention import MemoryRetentionWorkflow
from caxton.workflows.rollout import RolloutWorkflow
from caxton.workflows.schedule import ScheduledRunWorkflow

CACHED_WORKFLOWS = 3_000
"""Workflows that a worker keeps in memory, some 55 KB each: more than are at work at the same time. Others, such as agents that
nobody starts or stops, are replayed when something happens to them."""

WORKFLOWS = (
    ConversationWorkflow,
    AgentWorkflow,
    DeploymentWorkflow,
    NoticeWorkflow,
    PushWorkflow,
    MemoryRetentionWorkflow,
    ScheduledRunWorkflow,
    RolloutWorkflow,
)


def build_worker(parts: Parts, client: Client, task_queue: str, delivery: Delivery) -> Worker:
    """A worker for workflows and activities; `delivery` tells workflows of what schedules ask."""
    parts.database.start_writer()
    engine = Engine(client, task_queue)
    ports = step_ports(parts)
    statistics = CallStatistics(parts.database, Projections(parts.database, parts.archive))
    agents = Agents(parts.database, parts.models, parts.directory, engine, statistics)
    steps = StepActivities(ports)
    lifecycle = AgentActivities(parts.database, parts.models, parts.directory)
    channels = channels_of(parts.settings)
    schedules = build_schedule_engine(parts, client, task_queue)
    fast_path = FastPath(accept_here(parts), most_waiting=parts.settings.limits.waiting)
    turns = Turns(parts.near, parts.blobs, parts.stream, fast_path, delivery, parts.disk)
    runs = ScheduleActivities(ScheduleRuns(AutomaticRequests(parts.database, templates, turns), schedules).begin)
    deployments = DeploymentActivities(
        parts.database,
        parts.blobs,
        parts.tools,
        parts.models,
        agents.notify,
        channels,
        standing_grants(parts.settings),
        base_limits(parts.settings),
        parts.memories.warm if parts.memories else None,
        parts.reader.read,
        schedules.apply,
        Rollouts(parts.database, engine).follow,
        partial(hook_secret_problem, parts.settings.customer),
        parts.settings.limits.scheduled_per_second,
    )
    rollouts = RolloutActivities(parts.database, agents.notify, schedules.apply)
    gates = GateActivities(
        parts.database,
        parts.blobs,
        channels,
        webhooks.post,
        partial(turns.submit, wait=None),
        parts.memories.embed if parts.memories else None,
        Judging(parts.database, parts.blobs, AutomaticRequests(parts.database, templates, turns).judge),
    )
    notices = NoticeActivities(parts.database, channels, webhooks.post)
    push = PushActivities(parts.database, push_sender(parts.settings.a2a, parts.guard.check_address).post)
    conversations = ConversationActivities(parts.database)
    activities: list[Any] = [
        steps.next_turn,
        steps.refuse_waiting,
        steps.open_execution,
        steps.close_execution,
        steps.run_step,
        steps.call_model,
        steps.call_tool,
        lifecycle.load_agent,
        lifecycle.project_agent_state,
        lifecycle.count_work_in_hand,
        deployments.validate_deployment,
        deployments.activate_deployment,
        deployments.fail_deployment,
        deployments.notify_agents,
        rollouts.look_at_rollout,
        gates.check_gates,
        conversations.end_conversation,
        notices.deliver_notice,
        notices.record_notice,
        push.deliver_push,
        push.give_push_up,
        runs.begin_scheduled_run,
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
        max_concurrent_activities=parts.settings.limits.calls,
        max_concurrent_local_activities=parts.settings.limits.calls,
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_EVERY),
    )


def build_schedule_engine(parts: Parts, client: Client, task_queue: str) -> ScheduleEngine:
    """Brings schedules to the engine."""
    return ScheduleEngine(parts.database, Engine(client, task_queue))


def build_deployments(parts: Parts, client: Client, task_queue: str) -> Deployments:
    """Deployments, for those that a server left behind."""
    return Deployments(
        parts.database,
        parts.blobs,
        Engine(client, task_queue),
        parts.disk,
        standing_grants(parts.settings),
        base_limits(parts.settings),
    )


def build_server_log(parts: Parts) -> ServerLog:
    """What this server tells of itself."""
    return ServerLog(parts.database, parts.settings.customer, __version__)


def build_deadline_worker(parts: Parts, client: Client, task_queue: str, server_log: ServerLog) -> DeadlineWorker:
    """What happens because time passes. Every worker has one."""
    engine = Engine(client, task_queue)
    projections = Projections(parts.database, parts.archive)

    async def follow() -> None:
        await projections.follow_growth()
        await server_log.milestones()

    remember = AutoStore(parts.memories, parts.database, parts.blobs).remember if parts.memories else None
    deletions = Deletions(parts.database, engine, parts.blobs, parts.memories)
    retention = build_retention(parts, deletions)
    handlers = {**deletions.handlers, **retention.handlers, KIND: Alerts(engine).send}
    handlers[DRAIN] = Drains(parts.database, parts.settings.deployments.drain).look
    handlers[PUSH] = PushNotifier(parts.database, partial(start_push, engine)).look
    room = FreeRoom(parts.database)

    async def ensure() -> None:
        await retention.ensure()
        await room.give_back()

    return DeadlineWorker(parts.database, engine, follow, remember, handlers, ensure)


def build_health_worker(parts: Parts, client: Client, task_queue: str) -> AgentHealthWorker:
    """Looks after agents. Every worker has one."""
    engine, health = Engine(client, task_queue), parts.settings.health
    statistics = CallStatistics(parts.database, Projections(parts.database, parts.archive))
    agents = Agents(parts.database, parts.models, parts.directory, engine, statistics)
    rules = HealthRules(health.every, health.restarts, health.backoff, parts.settings.alerts.channels)
    return AgentHealthWorker(parts.database, parts.models, parts.directory, agents, rules)


def build_retention(parts: Parts, deletions: Deletions) -> Retention:
    """Retention periods."""
    settings = parts.settings
    readers = [*PROJECTIONS, *(sink_view(name) for name in settings.audit.sinks)]
    archive = Archive(parts.database, parts.archive, settings.retention.events, readers)
    return Retention(parts.database, deletions, settings.retention.periods, archive)


def build_delivery(parts: Parts, client: Client, task_queue: str) -> Delivery:
    """Tells workflows of the turns that the store has in progress."""
    return Delivery(parts.database, Engine(client, task_queue))


def build_workers(parts: Parts, client: Client, task_queue: str) -> Workers:
    """Sees workers of other processes."""
    return Workers(parts.database, Engine(client, task_queue))


def build_services(
    parts: Parts,
    client: Client,
    task_queue: str,
    facts: dict[str, object],
    accept: Accept,
    delivery: Delivery,
    workers: Workers | None = None,
) -> Services:
    """The use cases, for the API.

    Args:
        parts: what they use.
        client: reaches the engine.
        task_queue: where its workers ask for work.
        facts: what the server tells of itself.
        accept: accepts requests.
        delivery: tells workflows of them.
        workers: knows of those in other processes, where none is in this one.
    """
    engine = Engine(client, task_queue)
    limits, home = parts.settings.limits, parts.settings.customer
    refusals, oidc = Refusals(parts.database, home), parts.settings.auth.oidc
    fast_path = FastPath(accept, most_waiting=limits.waiting)
    turns = Turns(parts.near, parts.blobs, parts.stream, fast_path, delivery, parts.disk, workers)
    tallies = Tallies(parts.database, parts.settings.customer)
    deletions = Deletions(parts.database, engine, parts.blobs, parts.memories)
    retention = build_retention(parts, deletions)
    schedules = build_schedule_engine(parts, client, task_queue)
    automatic = AutomaticRequests(parts.database, templates, turns)
    projections = Projections(parts.database, parts.archive)
    statistics = CallStatistics(parts.database, projections)
    return Services(
        forks=Forks(turns),
        schedules=Schedules(parts.database, schedules, ScheduleRuns(automatic)),
        triggers=Triggers(parts.database),
        hooks=Hooks(automatic, SECRETS.get, tallies),
        tallies=tallies,
        codec=Codec(build_codec(parts.settings.engine.encryption), tallies),
        audit_lag=build_lag(parts.settings.audit, parts.database),
        turns=turns,
        seals=Seals(parts.database),
        listening=Listening(parts.database, parts.stream),
        conversations=Conversations(parts.database, parts.directory, engine, turns, deletions),
        files=Files(parts.database, parts.blobs, parts.disk),
        tasks=Tasks(parts.near),
        push=PushConfigs(parts.database, push_policy(parts.settings.a2a)),
        agents=Agents(parts.database, parts.models, parts.directory, engine, statistics, tallies),
        deployments=build_deployments(parts, client, task_queue),
        drains=Drains(parts.database, parts.settings.deployments.drain),
        rollouts=Rollouts(parts.database, engine),
        approvals=Approvals(parts.database, engine, parts.tools),
        budgets=Budgets(parts.database),
        breakers=Breakers(parts.database),
        memory=MemoryAdministration(parts.memories, parts.database, parts.blobs, parts.disk, tallies),
        event_log=EventLog(parts.database),
        projections=projections,
        onboarding=Onboarding(parts.database),
        tools=Tools(
            parts.database,
            parts.blobs,
            parts.tools,
            parts.directory,
            base_limits(parts.settings),
            parts.flow,
            flow_rules(parts.settings),
            statistics,
            parts.breakers,
        ),
        tool_surfaces=ToolSurfaces(parts.database, parts.tools, parts.directory),
        tool_grants=ToolGrants(parts.database, parts.guard, standing_grants(parts.settings)),
        keys=Keys(parts.database, home_customer=home),
        authentication=Authentication(
            parts.database,
            parts.database.access_changes,
            refusals,
            home_customer=home,
            tokens=Oidc(oidc) if oidc.issuer else None,
            issuer=oidc.issuer,
        ),
        retention=retention,
        storage=Storage(parts.database, parts.disk, retention, parts.memories, parts.blobs.root),
        queues=Queues(parts.database, fast_path),
        rates=Rates(limits.requests_per_second, limits.request_burst),
        health=HealthChecks(),
        blobs=parts.blobs,
        facts=facts,
        card_signer=card_signer(parts.settings.a2a),
        limits=ApiLimits(
            limits.request_bytes,
            limits.content_bytes,
            limits.blob_bytes,
            limits.bodies_bytes,
            make_room_for(parts.settings.server.connections),
        ),
    )
