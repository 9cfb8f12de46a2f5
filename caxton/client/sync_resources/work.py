"""Messages, conversations and executions.

Generated from `async_resources/work.py` by `python -m caxton.client.unasync`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from caxton.client.sse import StreamEvent
from caxton.client.sync_resources.calls import Calls, segment
from caxton.client.transport_sync import given
from caxton.domain.conversations import Conversation, EndReason, WhenBusy
from caxton.domain.executions import RoutingStrategy, TurnView
from caxton.domain.ids import new_id
from caxton.domain.messages import Content, Message
from caxton.domain.tools import Artifact
from caxton.views.contents import SaidInTurn
from caxton.views.deletion import Deletion

if TYPE_CHECKING:
    from caxton.domain.events import Event
    from caxton.domain.replay import Replay


def _parts(files: Sequence[Artifact]) -> list[dict[str, Any]] | None:
    return [{"type": "file", "digest": file.digest, "name": file.name} for file in files] or None


class WorkCalls(Calls):
    """Messages, conversations and executions."""

    def ask(
        self,
        content: str | None = None,
        *,
        input: Mapping[str, Any] | None = None,
        files: Sequence[Artifact] = (),
        capability: str | None = None,
        agent: str | None = None,
        version_range: str | None = None,
        strategy: RoutingStrategy | None = None,
        variables: Mapping[str, Any] | None = None,
        wait: bool = True,
        idempotency_key: str | None = None,
    ) -> TurnView:
        """One request, one reply: by capability, or of one agent by name.

        Args:
            content: the request; give this or `input`.
            input: the request as the object that the capability's schema describes.
            files: what goes along, as `upload` returned it, or as a reply has it among its artifacts.
            capability: what is asked for; give this or `agent`.
            agent: who is asked.
            version_range: versions of the capability that will do, such as "^1.2".
            strategy: how to choose among several agents.
            variables: values for the agent's templates.
            wait: return with the reply; otherwise at once, with `state` "running".
            idempotency_key: the same key gives the same answer; one is made if None.
        """
        body = {
            "capability": capability,
            "agent": agent,
            "version_range": version_range,
            "strategy": strategy,
            "content": content,
            "input": None if input is None else dict(input),
            "parts": _parts(files),
            "variables": dict(variables) if variables else None,
        }
        return self._turn("/v1/messages", body, wait, idempotency_key)

    def upload(self, content: bytes, name: str) -> Artifact:
        """Uploads a file, so that messages of the workspace can refer to it: an image, a recording, a PDF, a text.

        Args:
            content: the file; its first bytes say what it is.
            name: what it is called.
        """
        answer = self._transport.request("POST", "/v1/files", params={"name": name}, content=content)
        return Artifact.model_validate(answer.json())

    def agent_messages(self, agent: str, *, before: str | None = None, limit: int = 50) -> list[Message]:
        """Messages that an agent got or sent, newest first."""
        found = self._get("/v1/messages", agent=agent, before=before, limit=limit)
        return [Message.model_validate(message) for message in found["messages"]]

    def start_conversation(
        self,
        *,
        capability: str | None = None,
        agent: str | None = None,
        version_range: str | None = None,
        topic: str | None = None,
        idle_timeout: float | None = None,
        strategy: RoutingStrategy | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Conversation:
        """Starts a conversation of any number of turns.

        Args:
            capability: what the conversation is about; give this or `agent`.
            agent: whom it is with.
            version_range: versions of the capability that will do.
            topic: for people.
            idle_timeout: seconds without a message after which it expires.
            strategy: how to choose among several agents.
            metadata: values of your own, kept with the conversation.
            idempotency_key: the same key gives the same conversation; one is made if None.
        """
        body = {
            "capability": capability,
            "agent": agent,
            "version_range": version_range,
            "topic": topic,
            "idle_timeout": idle_timeout,
            "strategy": strategy,
            "metadata": dict(metadata) if metadata else None,
        }
        answer = self._post("/v1/conversations", given(body), key=idempotency_key or new_id("i"))
        return Conversation.model_validate(answer)

    def send(
        self,
        conversation_id: str,
        content: str | None = None,
        *,
        input: Mapping[str, Any] | None = None,
        files: Sequence[Artifact] = (),
        variables: Mapping[str, Any] | None = None,
        wait: bool = True,
        idempotency_key: str | None = None,
        when_busy: WhenBusy | Literal["enqueue", "reject", "interrupt", "replace"] | None = None,
    ) -> TurnView:
        """One turn of a conversation; arguments as those of `ask`.

        `when_busy` says what happens while the conversation works on earlier messages: "enqueue", "reject" (409), "interrupt"
        or "replace"; else its capability does.
        """
        body = {
            "content": content,
            "input": None if input is None else dict(input),
            "parts": _parts(files),
            "variables": dict(variables) if variables else None,
            "when_busy": when_busy,
        }
        return self._turn(f"/v1/conversations/{segment(conversation_id)}/messages", body, wait, idempotency_key)

    def conversations(
        self, *, active: bool | None = None, agent: str | None = None, before: str | None = None, limit: int = 20
    ) -> list[Conversation]:
        """Conversations, the most recently active first."""
        found = self._get("/v1/conversations", active=active, agent=agent, before=before, limit=limit)
        return [Conversation.model_validate(conversation) for conversation in found["conversations"]]

    def conversation(self, conversation_id: str) -> Conversation:
        """One conversation."""
        return Conversation.model_validate(self._get(f"/v1/conversations/{segment(conversation_id)}"))

    def messages(
        self, conversation_id: str, *, before: str | None = None, limit: int = 100, everything: bool = False
    ) -> list[Message]:
        """Messages of a conversation, oldest first; with `everything` also those among agents."""
        path = f"/v1/conversations/{segment(conversation_id)}/messages"
        found = self._get(path, before=before, limit=limit, all=everything or None)
        return [Message.model_validate(message) for message in found["messages"]]

    def end_conversation(self, conversation_id: str, reason: EndReason = EndReason.COMPLETED) -> Conversation:
        """Ends a conversation."""
        answer = self._post(f"/v1/conversations/{segment(conversation_id)}/end", {"reason": reason})
        return Conversation.model_validate(answer)

    def cancel_conversation(self, conversation_id: str) -> Conversation:
        """Stops the turn that runs and ends the conversation."""
        return Conversation.model_validate(self._post(f"/v1/conversations/{segment(conversation_id)}/cancel", None))

    def delete_conversation(self, conversation_id: str, *, cancel: bool = False) -> Deletion:
        """Deletes a conversation with all that it left. With `cancel` it ends first, if it goes on; else that is refused."""
        path, params = f"/v1/conversations/{segment(conversation_id)}", {"cancel": "true" if cancel else None}
        return Deletion.model_validate(self._transport.request("DELETE", path, params=params).json())

    def text(self, content: Content) -> str:
        """The text of a message, fetched if it was too large to travel inside."""
        if content.text is not None or content.digest is None:
            return content.text or ""
        return self.blob(content.digest).decode()

    def execution(self, execution_id: str, *, conversation_id: str | None = None) -> TurnView:
        """How a turn is or was. One that waits behind others is found with its `conversation_id` only."""
        path = f"/v1/executions/{segment(execution_id)}"
        return TurnView.model_validate(self._get(path, conversation_id=conversation_id))

    def cancel_turn(self, execution_id: str, *, conversation_id: str | None = None) -> TurnView:
        """Ends a turn, and nothing else: its conversation goes on. One that waits needs its `conversation_id`."""
        path = f"/v1/executions/{segment(execution_id)}/cancel"
        return TurnView.model_validate(self._post(path, None, params={"conversation_id": conversation_id}))

    def fork(
        self,
        execution_id: str,
        *,
        at: int,
        agent: str | None = None,
        version: str | None = None,
        wait: bool = True,
        idempotency_key: str | None = None,
    ) -> TurnView:
        """Goes on from a recorded step of a turn that has ended, as a new turn. What is taken over is not called again.

        Args:
            execution_id: whose record is taken over.
            at: the last step that is taken over, with the results of its calls; 0 for the request alone.
            agent: who goes on; None for the agent that did it, in the version that did it.
            version: of `agent`; None for the live one.
            wait: return with the reply; otherwise at once, with `state` "running".
            idempotency_key: the same key gives the same answer; one is made if None.
        """
        body = {"at": at, "agent": agent, "version": version}
        return self._turn(f"/v1/executions/{segment(execution_id)}/fork", body, wait, idempotency_key)

    def events(self, execution_id: str) -> list["Event"]:
        """The events of a turn, oldest first."""
        # Here, for its catalogue takes a seventh of the time that a command needs to start.
        from caxton.domain.events import Event

        found = self._get(f"/v1/executions/{segment(execution_id)}/events")
        return [Event.model_validate(event) for event in found["events"]]

    def contents(self, execution_id: str) -> list[SaidInTurn]:
        """The contents of a turn, oldest first: messages, answers of models, arguments and results of calls."""
        found = self._get(f"/v1/executions/{segment(execution_id)}/contents")
        return [SaidInTurn.model_validate(each) for each in found["contents"]]

    def stream(
        self, execution_id: str, *, conversation_id: str | None = None, last_event_id: str | None = None
    ) -> Iterator[StreamEvent]:
        """Follows a turn: steps and pieces of text as they come, at last the reply or the error.

        One that waits behind others is found with its `conversation_id` only.
        """
        path, params = f"/v1/executions/{segment(execution_id)}/stream", {"conversation_id": conversation_id}
        return self._transport.stream(path, params=params, last_event_id=last_event_id)

    def replay(self, execution_id: str) -> "Replay":
        """A turn's outcome rebuilt from events alone, and where it differs from the record."""
        from caxton.domain.replay import Replay

        return Replay.model_validate(self._get(f"/v1/executions/{segment(execution_id)}/replay"))
