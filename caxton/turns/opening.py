"""Opening an execution: choose the agent, record the request."""

import time
from datetime import datetime
from typing import Any

from caxton.domain.agents import AgentVersion, takes_time
from caxton.domain.breakers import BreakerKind
from caxton.domain.caller_context import KEY as CONTEXT
from caxton.domain.capabilities import Capability, CapabilityRequest
from caxton.domain.conversations import ENDED, Conversation, ConversationState
from caxton.domain.errors import DepthLimitReached, LoopDetected
from caxton.domain.events import SYSTEM, agent_actor
from caxton.domain.events.conversations import MessageDelivered, MessageSent, RequestHandled
from caxton.domain.events.executions import ActionDispatched, ExecutionProcessing, ExecutionTriggered
from caxton.domain.executions import (
    Execution,
    ExecutionState,
    Plan,
    RoutingStrategy,
    StepInput,
    StepResult,
    Target,
    TurnRequest,
)
from caxton.domain.forks import EARLIER, REHEARSAL
from caxton.domain.ids import DeploymentId, Digest, MessageId
from caxton.domain.messages import Message, MessageType
from caxton.domain.records import ExecutionRecord, RaceLost, Transaction, TurnsSoFar
from caxton.governance.budgets import Spending
from caxton.governance.service_levels import first_deadlines, service_level
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_trace
from caxton.recording import journal
from caxton.recording.contents import content_hash, pack, unpack
from caxton.routing.decision import NOBODY, Decision, route
from caxton.routing.directory import Registry
from caxton.turns.caller_functions import check_functions
from caxton.turns.continuing import earlier_of_continued, go_on
from caxton.turns.forking import TakenOver, take_over, tell_fork
from caxton.turns.outcomes import last_call, outcome_of
from caxton.turns.step import StepPorts, publish_step
from caxton.turns.typed_capabilities import check_wanted, content_handed_over, read_input


class Opening:
    """The first step of an execution."""

    def __init__(self, step: StepInput, ports: StepPorts, request: TurnRequest, *, in_hand: bool) -> None:
        """Prepare to open.

        Args:
            step: which execution.
            ports: the world.
            request: what the turn was asked.
            in_hand: whether the turn is accepted already; else this accepts it.
        """
        self.input = step
        self.ports = ports
        self.in_hand = in_hand
        self.found: ExecutionRecord | None = None
        """The execution if it has begun already: looked up for all openings of a batch at once."""
        self.request = request
        self.target = self.request.target
        self.strategy = self.request.strategy
        self.sender = self.request.sender
        self.conversation: Conversation | None = None
        """The conversation that the turn is one of, unless the request is one-shot: likewise."""
        self.so_far = TurnsSoFar()
        """What its earlier turns settled: likewise."""
        self.arguments: dict[str, Any] | None = None
        """What is handed over, as the model or script gave it."""
        self.decision: Decision
        self.agent: AgentVersion
        self.deployment_id: DeploymentId | None = None
        self.rollout: str | None = None
        """The rollout that the turn is counted for."""
        self.spending: Spending | None = None
        self.routing_ms = 0.0
        self.is_try = False
        """Whether it tries if an agent works again whose circuit breaker was open."""
        self.begun: ExecutionRecord
        """The execution as it begins."""
        self.message: Message
        """The request."""
        self.plan: Plan
        self.fork = request.fork if step.parent_id is None else None
        self.rehearses = self.fork.rehearses if self.fork is not None else None
        self.taken = TakenOver()
        context = request.context if step.parent_id is None else None
        self.continued = context.continued if context is not None else None
        """The turn that this one goes on with, behind calls of its caller's functions."""
        self.earlier = self.fork.earlier if self.fork is not None else None
        """The exchange before the request, where that is not simply what the conversation has."""

    @property
    def in_conversation(self) -> bool:
        """Whether it opens a turn of a conversation."""
        return self.input.parent_id is None and not self.request.one_shot

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the execution begun already, or decides who is to do it."""
        if self.found is not None:
            return self._resume(transaction, self.found)
        if self.input.parent_id is not None:
            self._read_hand_over(transaction)
        if self.conversation is not None and self.conversation.state in ENDED and not self.in_hand:
            raise self.conversation.closed()
        self._check_depth()
        registry = self.ports.directory.registry(transaction, self.input.scope)
        several = len(registry.index.providers.get(self.target.capability or "", ())) > 1
        started = time.perf_counter()
        self.decision = route(
            registry.index,
            self.target,
            self.strategy,
            key=self.input.execution_id,
            load=transaction.work_in_hand(self.input.scope) if several else None,
            preferred=self.so_far.agent or self._continued_agent(transaction),
            excluded=self.input.chain,
            resting=NOBODY
            if self.rehearses
            else self.ports.breakers.resting(self.input.scope, self.input.execution_id),
        )
        self.is_try = not self.rehearses and self.ports.breakers.take(
            self.input.scope, BreakerKind.AGENT, self.decision.agent, self.input.execution_id
        )
        self.routing_ms = (time.perf_counter() - started) * 1000
        self._check_loops()
        self.agent = self._version(transaction, self._side(transaction, registry))
        self.rollout = self._counted_for(registry, self.agent.name, self.agent.digest)
        self._take_over(transaction)
        self.deployment_id = self._deployment(transaction, registry)
        if registry.has_budgets:
            hand_over, rehearsal = self.input.parent_id is not None, self.rehearses is not None
            name, scope = self.agent.name, self.input.scope
            self.spending = Spending(transaction, scope, name, hand_over=hand_over, rehearsal=rehearsal)
            self.spending.check()
        self._begin()
        return None

    def _continued_agent(self, transaction: Transaction) -> str | None:
        """Who worked on the turn that this one goes on with."""
        if self.continued is None:
            return None
        known = transaction.executions(self.input.scope, [self.continued.execution_id])
        return next((record.execution.agent for record in known.values()), None)

    def _take_over(self, transaction: Transaction) -> None:
        """Finds what other executions have recorded that is not to be done again."""
        scope, execution_id, spec = self.input.scope, self.input.execution_id, self.agent.spec
        if self.fork is not None and (self.fork.step or self.continued is None):
            self.taken = take_over(transaction, scope, self.fork, execution_id, spec)
        elif self.continued is not None:
            self.taken = go_on(transaction, scope, self.continued, execution_id, spec)
            if self.in_conversation:
                self.earlier = earlier_of_continued(transaction, scope, self.continued)

    @property
    def offered(self) -> Capability | None:
        """The capability that is asked for, as the agent offers it."""
        return self.agent.spec.offers(self.decision.capability) if self.decision.capability else None

    @property
    def waits(self) -> bool:
        """Whether acting waits for something: content that is not available, or a check."""
        is_typed = self.offered is not None and self.offered.input is not None
        wants = self.request.context is not None and self.request.context.output is not None
        return is_typed or wants or self.arguments is not None or self.message.content.digest is not None

    async def act(self) -> None:
        """Packs the content that is handed over, and checks what its capability has a schema for.

        Raises:
            CapabilityInputInvalid: it does not fit.
        """
        offered, scope = self.offered, self.input.scope
        text = None if self.arguments is None else content_handed_over(self.arguments, offered)
        if offered is not None and offered.input_schema is not None:
            text = await unpack(self.ports.blobs, scope, self.message.content) if text is None else text
            await read_input(self.ports.schemas, scope, self.decision.agent, offered, text)
        context = self.request.context
        if context is not None and context.functions and self.input.parent_id is None:
            check_functions(self.agent, scripted=self.ports.models.is_scripted(self.agent))
        if context is not None and context.output is not None and self.input.parent_id is None:
            await check_wanted(self.ports.schemas, scope, offered, context.output)
        if self.arguments is not None:
            self.message.content = await pack(self.ports.blobs, scope, text or "")
        self.message.trace_id, self.message.span_id = current_trace()

    def record(self, transaction: Transaction) -> StepResult:
        """Records the execution, the request and how it was routed."""
        scope = self.input.scope
        if transaction.retried:
            raise RaceLost  # whether it was this execution that somebody else recorded is seen when it is loaded again
        if self.is_try and not self._claim(transaction):
            raise RaceLost  # another one tries: it is seen when this is loaded again
        if self.conversation is not None and not self._go_on(transaction, self.conversation):
            raise RaceLost
        transaction.add_execution(scope, self.begun)
        for step in self.taken.steps:
            transaction.add_step(scope, step)
        begun = self.conversation is not None or self._record_conversation(transaction, self.decision.capability)
        transaction.add_message(scope, self.message)
        if self.in_hand and self.input.parent_id is None:
            transaction.begin_turn(scope, self.input.execution_id)
        if not begun:
            transaction.touch_conversation(
                scope, self.request.conversation_id, messages=1, participants=(self.decision.agent,)
            )
        notes = self._events(self.message.id, self.plan)
        if self.spending is not None:
            for told in self.spending.add(transaction, {"requests": 1}):
                notes.add(told, part=f"{told.subject} {told.period}", actor=SYSTEM)
        transaction.append_events(scope, notes.events)
        self._promise(transaction, self.begun.execution.started_at)
        return StepResult(plan=self.plan, **self.taken.standing)

    def _begin(self) -> None:
        """The execution, its request and its plan, as they will be recorded."""
        step = self.input
        message_id = self.request.message_id if step.parent_id is None else journal.request_id(step.execution_id)
        started = journal.now()
        capability = self.decision.capability
        execution = Execution(
            id=step.execution_id,
            parent_id=step.parent_id,
            root_id=step.root_id,
            conversation_id=self.request.conversation_id,
            message_id=message_id,
            agent=self.decision.agent,
            agent_version=self.agent.spec.version,
            agent_digest=self.agent.digest,
            deployment_id=self.deployment_id,
            capability=capability,
            capability_version=self.decision.capability_version,
            state=ExecutionState.RUNNING,
            depth=len(step.chain),
            started_at=started,
        )
        fingerprint = self.request.fingerprint if step.parent_id is None else ""
        self.begun = ExecutionRecord(execution, fingerprint, None, dict(self.request.variables))
        self.message = Message(
            id=message_id,
            conversation_id=self.request.conversation_id,
            execution_id=step.execution_id,
            type=MessageType.REQUEST,
            sender=self.sender,
            receiver=self.decision.agent,
            content=self.request.content,
            artifacts=list(self.request.files),  # also with work that is handed over
            metadata=self._metadata(),
            created_at=started,
        )
        self.plan = self._plan(self.deployment_id, capability, self.decision.capability_version)

    def _metadata(self) -> dict[str, Any]:
        """What is kept with the request: what its caller brought along. Work that is handed over gets nothing of it."""
        context, found = self.request.context, dict[str, Any]()
        if context is not None and self.input.parent_id is None:
            found[CONTEXT] = context.model_dump(mode="json", exclude_defaults=True)
        if self.earlier is not None:
            found[EARLIER] = self.earlier.model_dump(mode="json")
        return found

    def after(self, result: StepResult) -> None:
        """Counts the decision."""
        METRICS.routed(self.decision.strategy)
        publish_step(self.ports, self.input, result)

    def _side(self, transaction: Transaction, registry: Registry) -> Digest:
        """The version at work: the one that the conversation began with, or its side of a rollout."""
        if self.fork is not None:
            return self.fork.agent_digest
        pinned = self._pinned(transaction)
        if pinned is not None and pinned not in registry.withdrawn:
            return pinned
        return registry.version_for(self.decision.agent, self.request.conversation_id, self.decision.digest)

    def _counted_for(self, registry: Registry, agent: str, digest: Digest) -> str | None:
        """The rollout that the execution is counted for. A fork is work of another kind than what it would be compared with."""
        return None if self.fork is not None else registry.rollout_of(agent, digest)

    def _pinned(self, transaction: Transaction) -> Digest | None:
        """The version of the chosen agent that the conversation began with: it stays on it whatever is deployed."""
        chosen = self.decision.agent
        known = self.input.pinned.get(chosen)
        if known is not None or self.request.one_shot:
            return known
        if self.conversation is not None and self.so_far.agent in (None, chosen):
            return self.so_far.digest
        return transaction.first_version(self.input.scope, self.request.conversation_id, chosen)

    def _claim(self, transaction: Transaction) -> bool:
        scope, execution_id = self.input.scope, self.input.execution_id
        return self.ports.breakers.claim(transaction, scope, BreakerKind.AGENT, self.decision.agent, execution_id)

    def _go_on(self, transaction: Transaction, conversation: Conversation) -> bool:
        """Counts the request in its conversation; False when that has ended, or accepted another one, since it was read."""
        agent = self.decision.agent
        is_known = conversation.state is ConversationState.IN_PROGRESS and agent in conversation.participants
        return transaction.touch_conversation(
            self.input.scope,
            self.request.conversation_id,
            messages=1,
            participants=() if is_known else (agent,),
            accepted=None if self.in_hand else conversation,
        )

    def _record_conversation(self, transaction: Transaction, capability: str | None) -> bool:
        """Begins the conversation with this message; False when it has begun."""
        if self.input.parent_id is not None:
            return False
        moment = journal.now()
        conversation = Conversation(
            id=self.request.conversation_id,
            state=ConversationState.IN_PROGRESS,
            capability=capability,
            agent=self.target.agent,
            participants=[self.request.sender, self.decision.agent],
            metadata={REHEARSAL: self.fork.rehearsal} if self.fork and self.fork.rehearsal else {},
            message_count=1,
            started_at=moment,
            last_activity=moment,
        )
        return transaction.add_conversation(self.input.scope, conversation, one_shot=self.request.one_shot)

    def _events(self, message_id: MessageId, plan: Plan) -> journal.Journal:
        notes = journal.Journal(
            self.input,
            self.request.conversation_id,
            plan,
            actor=journal.sender_actor(self.sender),
            channel=self.request.channel,
        )
        notes.moment = self.begun.execution.started_at
        agent = self.decision.agent
        triggered = ExecutionTriggered(
            target=str(self.target),
            parent_id=self.input.parent_id,
            depth=len(self.input.chain),
            origin=self.request.origin if self.input.parent_id is None else None,
        )
        notes.add(triggered, message_id=message_id)
        sent = MessageSent(
            message_id=message_id,
            sender=self.sender,
            receiver=agent,
            content_hash=content_hash(self.message.content),
            size_bytes=self.message.content.size,
        )
        notes.add(sent, message_id=message_id)
        routed = RequestHandled(
            message_id=message_id,
            from_agent=self.sender,
            to_agent=agent,
            skill_requested=self.decision.capability,
            routing_strategy=self.decision.strategy,
            routing_time_ms=round(self.routing_ms, 3),
        )
        notes.add(routed, actor=SYSTEM, message_id=message_id)
        started = self.begun.execution.started_at
        waited = (started - self.request.sent_at).total_seconds() * 1000 if self.request.sent_at else 0.0
        delivered = MessageDelivered(
            message_id=message_id, delivered_to=agent, delivery_time_ms=round(max(0.0, waited), 3)
        )
        notes.add(delivered, actor=SYSTEM, message_id=message_id)
        processing = ExecutionProcessing(agent=agent, version=self.agent.spec.version, digest=self.agent.digest)
        notes.add(processing, actor=agent_actor(agent))
        if self.fork is not None:
            tell_fork(notes, self.fork, self.taken, self.agent.spec, self.request.origin)
        if self.input.parent_id is not None:
            handed = ActionDispatched(
                action_id=journal.hand_over_id(self.input),
                action_type="capability",
                name=str(self.target),
                message_id=message_id,
            )
            notes.add(handed, part="hand-over", execution_id=self.input.parent_id, message_id=message_id)
        return notes

    def _promise(self, transaction: Transaction, started: datetime) -> None:
        """Notes when pressure begins and when the promise is broken, where one was given."""
        level = service_level(self.agent, self.decision.capability)
        if level is not None and self.rehearses is None:
            transaction.add_deadlines(
                self.input.scope, first_deadlines(self.input.scope, self.input.execution_id, level, started)
            )

    def _deployment(self, transaction: Transaction, registry: Registry) -> DeploymentId | None:
        """The deployment that the version at work belongs to: the live one, or the one that brought an older version."""
        live = registry.deployments.get(self.agent.name)
        if live is not None and live[0] == self.agent.digest:
            return live[1]
        return transaction.version_deployment(self.input.scope, "agent", self.agent.digest)

    def _plan(self, deployment_id: DeploymentId | None, capability: str | None, version: str | None) -> Plan:
        spec = self.agent.spec
        limits = spec.limits
        offered = spec.offers(capability) if capability else None
        level = offered.sla if offered else None
        repairs = offered.output_repairs if offered and offered.output_schema is not None else 0
        return Plan(
            execution_id=self.input.execution_id,
            conversation_id=self.request.conversation_id,
            agent=self.agent.name,
            agent_version=spec.version,
            agent_digest=self.agent.digest,
            fast=self._answers_at_once(),
            max_steps=limits.steps + (self.continued.step if self.continued is not None else 0),
            max_depth=limits.depth,
            max_loops=limits.loops,
            max_tokens=limits.tokens,
            max_time=limits.time,
            model_timeout=self._model_timeout(repairs),
            deployment_id=deployment_id,
            rollout=self.rollout,
            capability=capability,
            capability_version=version,
            risk_level=offered.risk_level if offered else None,
            approval_mode=offered.approval_mode if offered and self.rehearses is None else None,
            promised=level.respond_within if level and self.rehearses is None else None,
            rehearses=self.rehearses,
            requester=self.request.requester,
        )

    def _model_timeout(self, repairs: int) -> float:
        """Seconds that a model call may take, or that of a component, which waits for its turn in the sandbox besides."""
        spec = self.agent.spec
        if spec.wasm is not None:
            return spec.model_settings.timeout + spec.wasm.limits.wall_time
        if spec.a2a is not None:
            return spec.a2a.timeout + 2 * spec.a2a.request_timeout
        return spec.model_settings.timeout * len(spec.models) * (1 + repairs)

    def _answers_at_once(self) -> bool:
        """Whether its model calls are short and local: those of a component that takes no network and little time, or of a
        script that does not imitate a model's slowness."""
        if self.agent.module is not None:
            return self.agent.module.manifest.is_fast
        if self.agent.spec.a2a is not None:
            return False
        return self.ports.models.is_scripted(self.agent) and not takes_time(self.agent)

    def _resume(self, transaction: Transaction, found: ExecutionRecord) -> StepResult:
        execution = found.execution
        if self.input.parent_id is None and found.fingerprint != self.request.fingerprint:
            raise self.request.key_conflict()
        if execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(found))
        assert execution.agent is not None
        assert execution.agent_digest is not None
        self.agent = self._version(transaction, execution.agent_digest)
        registry = self.ports.directory.registry(transaction, self.input.scope)
        self.rollout = self._counted_for(registry, execution.agent, execution.agent_digest)
        plan = self._plan(execution.deployment_id, execution.capability, execution.capability_version)
        return StepResult(plan=plan, **last_call(transaction, self.input.scope, execution))

    def _read_hand_over(self, transaction: Transaction) -> None:
        parent, at, call = self.input.parent_id, self.input.parent_step, self.input.parent_call
        assert parent is not None
        steps = transaction.steps(self.input.scope, [parent])[parent]
        asked = next(step for step in steps if step.step == at and step.call == 0)
        wanted: dict[str, Any] = asked.payload["calls"][call - 1]
        request = CapabilityRequest.parse(wanted["name"])
        self.target = Target(capability=request.name, version_range=request.version_range)
        self.strategy = RoutingStrategy.LOAD_BALANCED
        self.arguments = wanted["arguments"]
        self.sender = self.input.chain[-1]

    def _check_depth(self) -> None:
        depth = len(self.input.chain)
        for level, (max_depth, _) in enumerate(self.input.chain_limits):
            if depth - level > max_depth:
                raise DepthLimitReached(
                    f"work was handed over {depth - level} levels deep: {' → '.join(self.input.chain)}; "
                    f'agent "{self.input.chain[level]}" allows {max_depth}',
                    f'raise `depth` in [limits] of agent "{self.input.chain[level]}"',
                    details={"limit": "depth", "value": max_depth, "chain": self.input.chain},
                )

    def _check_loops(self) -> None:
        chosen = self.decision.agent
        for agent, (_, max_loops) in zip(self.input.chain, self.input.chain_limits, strict=True):
            if agent == chosen and self.input.chain.count(agent) + 1 > max_loops:
                chain = [*self.input.chain, chosen]
                raise LoopDetected(
                    f"agents handed the work round in a circle: {' → '.join(chain)}",
                    f'take "{self.target.capability}" out of `delegates` of agent "{self.input.chain[-1]}", '
                    f'or raise `loops` in [limits] of agent "{agent}"',
                    details={"limit": "loops", "value": max_loops, "chain": chain},
                )

    def _version(self, transaction: Transaction, digest: Digest) -> AgentVersion:
        return self.ports.directory.agent_version(transaction, self.input.scope, digest)
