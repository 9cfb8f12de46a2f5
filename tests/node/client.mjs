// A client made with MCP's SDK for TypeScript: `node client.mjs http URL KEY WORKSPACE` or `node client.mjs stdio COMMAND ARGUMENT…`.
// It lists, calls, goes on with a conversation, hears of progress, answers a question, reads a resource; and prints what it saw.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [way, ...rest] = process.argv.slice(2);
const transport =
  way === "http"
    ? new StreamableHTTPClientTransport(new URL(rest[0]), {
        requestInit: { headers: { Authorization: `Bearer ${rest[1]}`, "X-Caxton-Workspace": rest[2] } },
      })
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1), env: process.env });
const client = new Client({ name: "test", version: "1.0.0" }, { capabilities: { elicitation: {} } });
const asked = [];
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push(request.params.message);
  return { action: "accept", content: { decision: "approve" } };
});
await client.connect(transport);
const text = (result) => result.content[0].text;
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const progress = [];
const front = await client.callTool({ name: "front", arguments: { request: "hello" } }, undefined, {
  onprogress: (told) => progress.push(told.message),
});
const first = await client.callTool({ name: "count", arguments: { request: "a", conversation: "new" } });
const conversation = first._meta["caxton/conversation"];
const second = await client.callTool({ name: "count", arguments: { request: "b", conversation } });
const typed = await client.callTool({ name: "price", arguments: { amount: 21 } });
const wrong = await client.callTool({ name: "price", arguments: { amount: 0 } });
const approved = await client.callTool({ name: "teller", arguments: { request: "x" } });
const read = await client.readResource({ uri: "caxton://agents/count" });
const templates = (await client.listResourceTemplates()).resourceTemplates.map((each) => each.name);
const completed = await client.complete({
  ref: { type: "ref/resource", uri: "caxton://agents/{name}" },
  argument: { name: "name", value: "co" },
});
console.log(
  JSON.stringify({
    tools,
    front: text(front),
    progress,
    counted: [text(first), text(second)],
    priced: typed.structuredContent,
    refused: wrong.isError,
    approved: text(approved),
    asked: asked.length,
    agent: JSON.parse(read.contents[0].text).name,
    templates,
    completed: completed.completion.values,
  }),
);
await client.close();
