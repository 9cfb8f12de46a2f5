// An MCP tool server in JavaScript: counts words.
import { log } from "caxton:tool/host@0.1.0";

const tools = [
  {
    name: "word_count",
    description: "Counts the words of a text.",
    inputSchema: {
      type: "object",
      properties: { text: { type: "string", maxLength: 100000, description: "The text." } },
      required: ["text"],
      additionalProperties: false,
    },
    outputSchema: {
      type: "object",
      properties: { words: { type: "integer", description: "How many words there are." } },
      required: ["words"],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
  },
];

export function describe() {
  return JSON.stringify({ tools });
}

// What a call throws is its error text.
export function call(name, json) {
  if (name !== "word_count") throw `there is no tool ${name}`;
  const { text } = JSON.parse(json);
  if (typeof text !== "string") throw "'text' is missing or not a string";
  const words = text.split(/\s+/).filter(Boolean).length;
  log("debug", `counted ${words} words`);
  return JSON.stringify({
    content: [{ type: "text", text: `${words} words` }],
    structuredContent: { words },
  });
}
