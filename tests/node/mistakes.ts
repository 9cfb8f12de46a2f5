// Uses of the types that are wrong: each line below such a comment has to be an error, or `tsc` says that the comment is unused.
import type { AnswerOf, BodyOf, Operations, Schemas, WithBody } from "./caxton.js";

const good: BodyOf<"POST /v1/messages"> = { capability: "write-verse", content: "Tuesday" };
const inParts: BodyOf<"POST /v1/messages"> = {
  capability: "look",
  parts: [{ type: "text", text: "This:" }, { type: "file", digest: "0".repeat(64), name: "a.png" }],
};
declare const turn: AnswerOf<"POST /v1/messages">;
const state: "running" | "completed" | "failed" = turn.state;
const text: string | null | undefined = turn.reply?.content.text;
const granted: Operations["POST /v1/approvals/{approval_id}/grant"]["path"] = { approval_id: "ap_1" };
const page: Schemas["AgentPage"] = { agents: [] };

// @ts-expect-error there is no such operation
type Missing = AnswerOf<"POST /v1/mesages">;
// @ts-expect-error a name that is misspelt
const misspelt: BodyOf<"POST /v1/messages"> = { capabilty: "write-verse", content: "Tuesday" };
// @ts-expect-error a number in place of a text
const number: BodyOf<"POST /v1/messages"> = { capability: "write-verse", content: 7 };
// @ts-expect-error a kind of part that does not exist
const part: BodyOf<"POST /v1/messages"> = { capability: "look", parts: [{ type: "picture", url: "x" }] };
// @ts-expect-error an operation without a body
const bodiless: WithBody = "GET /v1/messages";
// @ts-expect-error there may be no reply yet
const reply: string = turn.reply.content.text;
// @ts-expect-error there is no such state
const other: typeof turn.state = "done";

export { bodiless, good, granted, inParts, misspelt, number, other, page, part, reply, state, text, type Missing };
