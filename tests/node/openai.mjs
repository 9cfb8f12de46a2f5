// Uses an agent server with OpenAI's own library for JavaScript, and prints what it saw: `node openai.mjs URL KEY WORKSPACE`.
// The model behind "think" answers, one after another, what the test has told it to.
import OpenAI from "openai";

const [url, apiKey, workspace] = process.argv.slice(2);
const defaultHeaders = { "X-Caxton-Workspace": workspace };
const client = new OpenAI({ baseURL: `${url}/openai/v1`, apiKey, defaultHeaders, maxRetries: 0, timeout: 120_000 });
const user = (content) => ({ role: "user", content });
const weather = {
  name: "get_weather",
  description: "The weather of a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
};
const found = { called: [] };

found.models = (await client.models.list()).data.map((each) => each.id);
const said = await client.chat.completions.create({ model: "think", messages: [user("Hello")] });
found.said = [said.choices[0].message.content, said.choices[0].finish_reason, said.usage.total_tokens > 0];

const stream = client.chat.completions.stream({
  model: "think",
  messages: [user("Count")],
  stream_options: { include_usage: true },
});
const pieces = [];
stream.on("content", (piece) => pieces.push(piece));
const streamed = await stream.finalChatCompletion();
found.streamed = [pieces.join(""), streamed.choices[0].message.content, (await stream.totalUsage()).prompt_tokens];

// The library calls the function itself, and sends the results until there are no more calls; once streamed, once not.
const call = (city) => (found.called.push(city.city), `3 degrees in ${city.city}`);
const tools = [{ type: "function", function: { ...weather, function: call, parse: JSON.parse } }];
for (const streams of [false, true]) {
  const runner = client.chat.completions.runTools({ model: "think", messages: [user("Oslo?")], tools, stream: streams });
  found[streams ? "toolsStreamed" : "tools"] = await runner.finalContent();
}

const schema = { type: "object", properties: { total: { type: "integer" } }, required: ["total"], additionalProperties: false };
const typed = await client.chat.completions.parse({
  model: "think",
  messages: [user("Sum")],
  response_format: { type: "json_schema", json_schema: { name: "sum", schema, strict: true } },
});
found.typed = JSON.parse(typed.choices[0].message.content);

const first = await client.responses.create({ model: "think", input: "I like blue." });
const second = await client.responses.create({ model: "think", input: "What?", previous_response_id: first.id });
found.responses = [first.output_text, second.output_text, second.usage.output_tokens > 0];
const events = [];
const asking = client.responses.stream({
  model: "think",
  input: "Rome?",
  tools: [{ type: "function", strict: true, ...weather }],
});
for await (const event of asking) events.push(event.type);
const asked = await asking.finalResponse();
const wanted = asked.output.find((each) => each.type === "function_call");
found.events = [...new Set(events)];
found.wanted = [wanted.name, JSON.parse(wanted.arguments)];
const output = [{ type: "function_call_output", call_id: wanted.call_id, output: "21" }];
found.answered = (
  await client.responses.create({ model: "think", input: output, previous_response_id: asked.id })
).output_text;

const embedder = found.models.find((each) => each.includes("minilm"));
found.embedded = (await client.embeddings.create({ model: embedder, input: ["a", "b"] })).data.map((each) => each.embedding.length);

const failure = async (work) => {
  try {
    await work();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.param];
  }
  return null;
};
const stranger = new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: "cx_wrong", defaultHeaders, maxRetries: 0 });
found.failures = {
  missing: await failure(() => client.chat.completions.create({ model: "nobody", messages: [user("x")] })),
  wrong: await failure(() => client.chat.completions.create({ model: "think", messages: [user("x")], n: 2 })),
  stranger: await failure(() => stranger.models.list()),
  lost: await failure(() => client.responses.create({ model: "think", input: "x", previous_response_id: "resp_no" })),
};
console.log(JSON.stringify(found));
