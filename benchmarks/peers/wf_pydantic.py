"""The workflow of the pydantic-ai peer: one per conversation, a turn is an update."""

import asyncio
import os
import warnings

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import common
    from pydantic_ai import Agent
    from pydantic_ai.durable_exec.temporal import PydanticAIWorkflow, TemporalAgent, TemporalDurability
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider


def scripted(messages: list[ModelMessage], info) -> ModelResponse:
    user = next(p.content for p in reversed(messages[-1].parts) if isinstance(p, UserPromptPart))
    return ModelResponse(parts=[TextPart(common.scripted(user, len(messages) - 1))])


def model() -> OpenAIChatModel | FunctionModel:
    if common.MODEL:
        return OpenAIChatModel("stand-in", provider=OpenAIProvider(base_url=common.MODEL, api_key="none"))
    return FunctionModel(scripted, model_name="scripted")


instructions = common.SYSTEM_PROMPT if common.MODEL else None
if os.environ.get("PEER_PYDANTIC_API", "TemporalAgent") == "TemporalAgent":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = TemporalAgent(Agent(model(), name="peer", instructions=instructions))
else:  # the capability that replaces the deprecated TemporalAgent
    agent = Agent(model(), name="peer", instructions=instructions, capabilities=[TemporalDurability()])


@workflow.defn(name="Conversation")
class Conversation(PydanticAIWorkflow):
    __pydantic_ai_agents__ = [agent]

    @workflow.init
    def __init__(self, messages: list[ModelMessage] | None = None) -> None:
        self.messages: list[ModelMessage] = messages or []
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, messages: list[ModelMessage] | None = None) -> None:
        await workflow.wait_condition(lambda: workflow.info().is_continue_as_new_suggested())
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(args=[self.messages[-common.WINDOW :]])

    @workflow.update
    async def turn(self, text: str) -> str:
        async with self.lock:
            r = await agent.run(text, message_history=self.messages[-common.WINDOW :])
            self.messages.extend(r.new_messages())
            return r.output

    @workflow.query
    def replies(self) -> list[str]:
        return [m.text for m in self.messages if isinstance(m, ModelResponse)]
