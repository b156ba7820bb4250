/** Anthropic's SDK for npm: messages, streamed and not, tools, thinking, schemas, counts. */
import Anthropic from "@anthropic-ai/sdk";
import { colour, greeting, model, runSteps, same, url } from "./support/steps.mjs";
import { callTool, doTask, taskPrompt, tools } from "./support/tools.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "none" });
const user = (content) => [{ role: "user", content }];
const body = (content) => ({ model, max_tokens: 2048, messages: user(content) });
const offered = Object.entries(tools).map(([name, { description, parameters }]) => ({
  ...{ name, description, input_schema: parameters },
}));
const textOf = ({ content }) =>
  content.filter(({ type }) => type === "text").map(({ text }) => text).join("");

async function streamed(request) {
  const stream = client.messages.stream(request);
  let text = "";
  stream.on("text", (delta) => {
    text += delta;
  });
  const final = await stream.finalMessage();
  same(textOf(final), text);
  return final;
}

async function task(ask) {
  const messages = user(taskPrompt);
  for (;;) {
    const answer = await ask({ ...body(""), messages, tools: offered });
    const calls = answer.content.filter(({ type }) => type === "tool_use");
    same(answer.stop_reason, calls.length > 0 ? "tool_use" : "end_turn");
    if (calls.length === 0) return textOf(answer);
    const results = calls.map(({ id, name, input }) => ({
      ...{ type: "tool_result", tool_use_id: id, content: callTool(name, input) },
    }));
    messages.push({ role: "assistant", content: answer.content }, { role: "user", content: results });
  }
}

await runSteps({
  messages: async () => same(textOf(await client.messages.create(body("SAY-1"))), greeting),
  stream: async () => same(textOf(await streamed(body("SAY-1"))), greeting),
  tools: () => doTask(() => task((request) => client.messages.create(request))),
  "tools stream": () => doTask(() => task(streamed)),
  thinking: async () => {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const answer = await streamed({ ...body("THINK-1"), thinking });
    return same(answer.content.map(({ type }) => type), ["thinking", "text"]);
  },
  schema: async () => {
    const schema = {
      ...{ type: "object", required: ["colour", "count"], additionalProperties: false },
      properties: { colour: { type: "string" }, count: { type: "integer" } },
    };
    const output_config = { format: { type: "json_schema", schema } };
    const answer = await client.messages.create({ ...body("SCHEMA-1"), output_config });
    return same(JSON.parse(textOf(answer)), colour);
  },
  "count tokens": async () => {
    const { messages } = body("SAY-1");
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    return same(input_tokens > 0, true);
  },
});
