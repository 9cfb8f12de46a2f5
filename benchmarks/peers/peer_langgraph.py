"""LangGraph: one thread per conversation, a one-node graph, AsyncSqliteSaver, durability="sync"."""

from typing import Annotated, TypedDict

import common
from langchain_core.messages import AIMessage, HumanMessage, convert_to_openai_messages
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from openai import AsyncOpenAI

openai = AsyncOpenAI(base_url=common.MODEL or None, api_key="none", timeout=120)


class State(TypedDict):
    messages: Annotated[list, add_messages]


async def model(state: State) -> dict:
    window = state["messages"][-(common.WINDOW + 1) :]
    return {"messages": [AIMessage(common.scripted(window[-1].content, len(window) - 1))]}


async def service(state: State) -> dict:
    """Asks the model service by its provider's own client, which costs least."""
    window = state["messages"][-(common.WINDOW + 1) :]
    asked = [{"role": "system", "content": common.SYSTEM_PROMPT}, *convert_to_openai_messages(window)]
    answer = await openai.chat.completions.create(model="stand-in", messages=asked)
    return {"messages": [AIMessage(answer.choices[0].message.content)]}


class LangGraph(common.Peer):
    name = "langgraph"
    in_process = True
    dists = ("langgraph", "langgraph-checkpoint-sqlite", "langchain-core", "aiosqlite")
    notes = "in-process library call, no network hop; whole message list in every checkpoint (add_messages)"

    def __init__(self, data, a):
        super().__init__(data)

    async def start(self, conversations, fresh):
        self.cm = AsyncSqliteSaver.from_conn_string(str(self.data / "checkpoints.sqlite"))
        saver = await self.cm.__aenter__()
        g = StateGraph(State)
        g.add_node("model", service if common.MODEL else model)
        g.add_edge(START, "model")
        g.add_edge("model", END)
        self.graph = g.compile(checkpointer=saver)

    def cfg(self, conv):
        return {"configurable": {"thread_id": f"c{conv}"}}

    async def turn(self, conv, text):
        out = await self.graph.ainvoke({"messages": [HumanMessage(text)]}, self.cfg(conv), durability="sync")
        return out["messages"][-1].content

    async def replies(self, conv):
        st = await self.graph.aget_state(self.cfg(conv))
        return [m.content for m in st.values.get("messages", []) if m.type == "ai"]

    async def stop(self):
        await self.cm.__aexit__(None, None, None)


if __name__ == "__main__":
    common.main(LangGraph)
