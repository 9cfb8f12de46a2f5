// An agent in JavaScript: a checklist for each conversation. "add milk" adds, "done 1" ticks off, anything else shows the list.
import { log } from "caxton:agent/host@0.1.0";
import { get, set } from "caxton:agent/state@0.1.0";

export function handle(text) {
  const message = JSON.parse(text);
  const request = message.request.trim();
  const items = JSON.parse(get("items") ?? "[]");
  const [, word, rest] = request.match(/^(\S*)\s*([^]*)$/);
  if (word.toLowerCase() === "add") {
    if (!rest) throw "say what to add, such as: add milk";   // the text that whoever asked reads
    items.push({ text: rest, done: false });
  } else if (word.toLowerCase() === "done") {
    const item = items[Number(rest) - 1];
    if (!item) throw `there is no item ${rest}; the list has ${items.length}`;
    item.done = true;
  } else {
    return reply(items);
  }
  set("items", JSON.stringify(items));
  log("info", `${items.length} items`);
  return reply(items);
}

function reply(items) {
  const lines = items.map((item, index) => `${index + 1}. [${item.done ? "x" : " "}] ${item.text}`);
  return JSON.stringify({ reply: lines.join("\n") || "There is nothing on the list." });
}
