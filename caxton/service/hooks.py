"""Deliveries of webhooks: checked, accepted once, and only then acknowledged."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from pydantic import SecretStr

from caxton.domain.errors import (
    CaxtonError,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    SecretMissing,
    SignatureRefused,
    TriggerUnavailable,
)
from caxton.domain.events import Payload
from caxton.domain.events.triggers import DeliveriesFailed, DeliveriesRefused, DeliveriesRepeated, DeliveryAccepted
from caxton.domain.hook_signatures import SignatureError, Signed, verify
from caxton.domain.ids import ExecutionId, digest_of
from caxton.domain.origin import current_origin
from caxton.domain.quantities import format_size
from caxton.domain.records import Transaction
from caxton.domain.strict_json import read_json
from caxton.domain.triggers import (
    LONGEST_DELIVERY,
    Acknowledgement,
    DeployedTrigger,
    Scheme,
    delivered_execution,
)
from caxton.recording import journal
from caxton.service.automatic_requests import AutomaticRequest, AutomaticRequests
from caxton.service.tallies import Tallies

CHANNEL = "webhook"
"""How its requests came, as the log tells it."""


class Hooks:
    """Takes deliveries. Nothing of one is read before its signature is good."""

    def __init__(self, requests: AutomaticRequests, secret: Callable[[str], SecretStr], tallies: Tallies) -> None:
        """Have `requests` accept what triggers ask; `secret` looks secrets up, and `tallies` counts what is refused."""
        self.requests = requests
        self.records = requests.records
        self.secret = secret
        self.tallies = tallies

    async def find(self, hook_id: str) -> DeployedTrigger:
        """The trigger of an address.

        Raises:
            NotFound: there is none. The answer is the same for addresses that never were and those that are gone.
        """
        found = await self.records.read(lambda transaction: transaction.trigger_of_hook(hook_id))
        if found is None:
            raise NotFound("there is no such webhook")
        return found

    async def too_large(self, trigger: DeployedTrigger) -> PayloadTooLarge:
        """The error for a delivery that is larger than the trigger takes."""
        limit = trigger.definition.max_body
        await self._count(trigger, "too large", _refused(trigger, "too large"))
        return PayloadTooLarge(f"a delivery to this webhook has {format_size(limit)} at most", details={"limit": limit})

    async def deliver(self, trigger: DeployedTrigger, headers: Mapping[str, str], body: bytes) -> Acknowledgement:
        """Accepts a delivery, once. It is durable when this returns.

        Args:
            trigger: whose address it came to.
            headers: by their names in lower case.
            body: as it came.

        Raises:
            SignatureRefused: it is not signed as the trigger wants.
            TriggerUnavailable: the trigger's secret cannot be read.
            CaxtonError: it was refused; nothing was accepted.
        """
        signed = await self._verified(trigger, headers, body)
        try:
            return await self._accept(trigger, signed, body)
        except CaxtonError as error:
            await self._count(trigger, error.code, _failed(trigger, error.code), error.code)
            raise

    async def _verified(self, trigger: DeployedTrigger, headers: Mapping[str, str], body: bytes) -> Signed:
        definition = trigger.definition
        try:
            secrets = [self.secret(reference).get_secret_value().strip() for reference in definition.secrets]
            return verify(definition.scheme, headers, body, secrets, time.time(), definition.tolerance)
        except SignatureError as error:
            reason = f"signature {error.reason}"
            await self._count(trigger, reason, _refused(trigger, reason), SignatureRefused.code)
            raise SignatureRefused(
                f"the signature of the delivery is {error.reason}",
                "sign it with the secret of the trigger, with a clock that is right",
                details={"reason": error.reason},
            ) from None
        except (SecretMissing, ValueError):  # no base64, for Standard Webhooks
            code = TriggerUnavailable.code
            await self._count(trigger, code, _failed(trigger, code), code)
            raise TriggerUnavailable("the webhook cannot take deliveries now", retry_after=60.0) from None

    async def _accept(self, trigger: DeployedTrigger, signed: Signed, body: bytes) -> Acknowledgement:
        content = read_json(body, "the body")
        delivery_id, kind = _identity(trigger.definition.scheme, signed, content)
        if trigger.definition.events and kind not in trigger.definition.events:
            return Acknowledgement(state="ignored")
        scope = trigger.scope
        execution_id = delivered_execution(scope, trigger.agent, trigger.name, delivery_id)
        accepted = DeliveryAccepted(
            trigger=trigger.name,
            delivery_id=delivery_id,
            kind=kind,
            size_bytes=len(body),
            body_hash=digest_of(body),
        )
        event = journal.note(
            scope,
            accepted,
            execution_id,
            agent=trigger.agent,
            execution_id=execution_id,
            correlation_id=execution_id,
        )
        # The log knows it also when what it set off has been deleted.
        repeated = await self.requests.is_known(scope, execution_id, event.event_id)
        if not repeated:
            try:
                await self.requests.send(_request(trigger, execution_id, delivery_id, kind, content))
            except IdempotencyConflict:  # two of the same at once, and a deployment between them
                repeated = True

        def tell(transaction: Transaction) -> None:
            transaction.add_events_once(scope, [event])

        await self.records.write(tell)
        if repeated:
            await self._count(trigger, "repeated", _repeated(trigger))
        return Acknowledgement(state="repeated" if repeated else "accepted", execution_id=execution_id)

    async def _count(
        self,
        trigger: DeployedTrigger,
        reason: str,
        make: Callable[[int, datetime, datetime], Payload],
        code: str | None = None,
    ) -> None:
        """Counts what may come in floods: it is told once a minute at most."""
        kind = ("hook", trigger.scope, trigger.agent, trigger.name, reason)
        first = self.tallies.count(
            kind, trigger.scope, make, origin=current_origin(), error_code=code, agent=trigger.agent
        )
        if first:
            await self.tallies.soon()


def _request(
    trigger: DeployedTrigger, execution_id: ExecutionId, delivery_id: str, kind: str | None, body: Any
) -> AutomaticRequest:
    return AutomaticRequest(
        scope=trigger.scope,
        agent=trigger.agent,
        execution_id=execution_id,
        channel=CHANNEL,
        name=trigger.name,
        capability=trigger.definition.capability,
        content=trigger.definition.content,
        seen={"trigger": {"name": trigger.name}, "event": kind or "", "delivery": delivery_id, "body": body},
        variables=trigger.definition.variables,
    )


def _identity(scheme: Scheme, signed: Signed, body: Any) -> tuple[str, str | None]:
    """A delivery's id, and the kind of event that it is about: from the headers, or where the body says them, from there."""
    values = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    kind = signed.event
    if scheme is not Scheme.GITHUB:
        said: Any = values.get("type")
        kind = said[:100] if isinstance(said, str) else None
    delivery: Any = signed.delivery_id or values.get("id")
    if not isinstance(delivery, str) or not 0 < len(delivery) <= LONGEST_DELIVERY or not delivery.isprintable():
        raise InvalidInput("the delivery has no id", 'Stripe puts it into "id" of the body')
    return delivery, kind


def _refused(trigger: DeployedTrigger, reason: str) -> Callable[[int, datetime, datetime], Payload]:
    def make(count: int, first: datetime, last: datetime) -> Payload:
        return DeliveriesRefused(trigger=trigger.name, reason=reason, count=count, first_at=first, last_at=last)

    return make


def _failed(trigger: DeployedTrigger, reason: str) -> Callable[[int, datetime, datetime], Payload]:
    def make(count: int, first: datetime, last: datetime) -> Payload:
        return DeliveriesFailed(trigger=trigger.name, reason=reason, count=count, first_at=first, last_at=last)

    return make


def _repeated(trigger: DeployedTrigger) -> Callable[[int, datetime, datetime], Payload]:
    def make(count: int, first: datetime, last: datetime) -> Payload:
        return DeliveriesRepeated(trigger=trigger.name, count=count, first_at=first, last_at=last)

    return make
