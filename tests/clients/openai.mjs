/** openai for npm: chat and Responses, streamed and not, tools, schemas, background, continuation. */
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { colour, greeting, model, runSteps, same, url } from "./support/steps.mjs";
import { callTool, doTask, taskPrompt, tools } from "./support/tools.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
const Colour = z.object({ colour: z.string(), count: z.number() });
const user = (content) => [{ role: "user", content }];
const chat = (content) => ({ model, messages: user(content) });

/** As `runTools` wants them. */
const runnable = Object.entries(tools).map(([name, { description, parameters, run }]) => ({
  type: "function",
  function: { name, description, parameters, parse: JSON.parse, function: run },
}));
const responseTools = Object.entries(tools).map(([name, { description, parameters }]) => ({
  ...{ type: "function", name, description, parameters, strict: true },
}));

async function streamedChat() {
  const stream = client.chat.completions.stream(chat("SAY-1"));
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  same(text, (await stream.finalChatCompletion()).choices[0].message.content);
  return same(text, greeting);
}

async function streamedResponse(body) {
  const stream = client.responses.stream({ model, ...body });
  let text = "";
  for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
  // It has no `output_text` of its own.
  const { output } = await stream.finalResponse();
  const parts = output.flatMap((item) => (item.type === "message" ? item.content : []));
  same(parts.map((part) => part.text).join(""), text);
  return { output, output_text: text };
}

/** `ask` gives a whole response, however it came. */
async function taskByResponses(ask) {
  const input = user(taskPrompt);
  for (;;) {
    const { output, output_text } = await ask({ input, tools: responseTools });
    const calls = output.filter(({ type }) => type === "function_call");
    if (calls.length === 0) return output_text;
    input.push(...output.filter(({ type }) => type !== "reasoning"));
    for (const { call_id, name, arguments: given } of calls)
      input.push({ type: "function_call_output", call_id, output: callTool(name, JSON.parse(given)) });
  }
}

/** Only what is new is sent. */
async function taskByContinuation() {
  let body = { input: user(taskPrompt) };
  for (;;) {
    const { id, output, output_text } = await client.responses.create({ model, tools: responseTools, ...body });
    const calls = output.filter(({ type }) => type === "function_call");
    if (calls.length === 0) return output_text;
    const input = calls.map(({ call_id, name, arguments: given }) => ({
      ...{ type: "function_call_output", call_id, output: callTool(name, JSON.parse(given)) },
    }));
    body = { input, previous_response_id: id };
  }
}

await runSteps({
  chat: async () => {
    const answer = await client.chat.completions.create(chat("SAY-1"));
    return same(answer.choices[0].message.content, greeting);
  },
  "chat stream": streamedChat,
  "chat tools": () =>
    doTask(async () => {
      const runner = client.chat.completions.runTools({ ...chat(taskPrompt), tools: runnable });
      return runner.finalContent();
    }),
  "chat tools stream": () =>
    doTask(async () => {
      const body = { ...chat(taskPrompt), tools: runnable, stream: true };
      return client.chat.completions.runTools(body).finalContent();
    }),
  "chat parse": async () => {
    const response_format = zodResponseFormat(Colour, "colour");
    const answer = await client.chat.completions.parse({ ...chat("SCHEMA-1"), response_format });
    return same(answer.choices[0].message.parsed, colour);
  },
  reasoning: async () => {
    const { choices } = await client.chat.completions.create(chat("THINK-1"));
    same(choices[0].message.reasoning_content, "Let me think of it.");
    return same(choices[0].message.content, "It is thought of.");
  },
  responses: async () =>
    same((await client.responses.create({ model, input: "SAY-1" })).output_text, greeting),
  "responses stream": async () => same((await streamedResponse({ input: "SAY-1" })).output_text, greeting),
  "responses tools": () => doTask(() => taskByResponses((body) => client.responses.create({ model, ...body }))),
  "responses tools stream": () => doTask(() => taskByResponses(streamedResponse)),
  "responses parse": async () => {
    const text = { format: zodTextFormat(Colour, "colour") };
    const answer = await client.responses.parse({ model, input: "SCHEMA-1", text });
    return same(answer.output_parsed, colour);
  },
  continuation: () => doTask(taskByContinuation),
  "background, cancel": async () => {
    const { id } = await client.responses.create({ model, input: "SLOW-1", background: true });
    return same((await client.responses.cancel(id)).status, "cancelled");
  },
  "retrieve, delete": async () => {
    const { id } = await client.responses.create({ model, input: "SAY-1" });
    same((await client.responses.retrieve(id)).output_text, greeting);
    await client.responses.delete(id);
    const gone = await client.responses.retrieve(id).catch((error) => error.status);
    return same(gone, 404);
  },
});
