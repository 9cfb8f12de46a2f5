"""An agent in Python: a checklist for each conversation. "add milk" adds, "done 1" ticks off, anything else shows the list."""
import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import host, state


class WitWorld(wit_world.WitWorld):
    def handle(self, message: str) -> str:
        request = json.loads(message)["request"].strip()
        items = json.loads(state.get("items") or "[]")
        word, _, rest = request.partition(" ")
        if word.lower() == "add":
            if not rest.strip():
                raise Err("say what to add, such as: add milk")  # the text that whoever asked reads
            items.append({"text": rest.strip(), "done": False})
        elif word.lower() == "done":
            number = int(rest) if rest.strip().isdecimal() else 0
            if not 1 <= number <= len(items):
                raise Err(f"there is no item {rest}; the list has {len(items)}")
            items[number - 1]["done"] = True
        else:
            return reply(items)
        state.set("items", json.dumps(items))
        host.log("info", f"{len(items)} items")
        return reply(items)


def reply(items: list[dict]) -> str:
    lines = [f"{number}. [{'x' if item['done'] else ' '}] {item['text']}" for number, item in enumerate(items, 1)]
    return json.dumps({"reply": "\n".join(lines) or "There is nothing on the list."})
