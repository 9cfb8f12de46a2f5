"""The workflow of the OpenAI Agents SDK peer: one per conversation, a turn is an update."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import common
    from agents import Agent, Runner, TResponseInputItem
    from temporalio.openai_agents.testing import ResponseBuilders, TestModel


class Scripted(TestModel):
    """The fake model; called in the model activity with the whole input list."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    async def get_response(self, system_instructions, input, *a, **kw):
        items = input if isinstance(input, list) else [{"role": "user", "content": input}]
        return ResponseBuilders.output_message(common.scripted(items[-1]["content"], len(items) - 1))


@workflow.defn(name="Conversation")
class Conversation:
    @workflow.init
    def __init__(self, items: list[TResponseInputItem] | None = None) -> None:
        self.items: list[TResponseInputItem] = items or []
        self.lock = asyncio.Lock()
        self.agent = Agent(name="peer", model="scripted")
        self.answers: list[str] = []

    @workflow.run
    async def run(self, items: list[TResponseInputItem] | None = None) -> None:
        await workflow.wait_condition(lambda: workflow.info().is_continue_as_new_suggested())
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(args=[self.items[-common.WINDOW :]])

    @workflow.update
    async def turn(self, text: str) -> str:
        async with self.lock:
            r = await Runner.run(self.agent, self.items[-common.WINDOW :] + [{"role": "user", "content": text}])
            self.items = r.to_input_list()
            self.answers.append(r.final_output)
            return r.final_output

    @workflow.query
    def replies(self) -> list[str]:
        return self.answers
