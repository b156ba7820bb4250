/** Vercel's AI SDK with the provider that the first argument names: texts, streams, tools, objects. */
import { generateObject, generateText, jsonSchema, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { colour, greeting, model, runSteps, same, url } from "./support/steps.mjs";
import { doTask, taskPrompt, tools } from "./support/tools.mjs";

const baseURL = `${url}/v1`;
const apiKey = "none";
const providers = {
  openai: async () => {
    const { createOpenAI } = await import("@ai-sdk/openai");
    const made = createOpenAI({ baseURL, apiKey });
    return { responses: made(model), chat: made.chat(model) };
  },
  "openai-compatible": async () => {
    const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
    const supportsStructuredOutputs = true;
    const made = createOpenAICompatible({ name: "local", baseURL, apiKey, supportsStructuredOutputs });
    return { chat: made(model) };
  },
  anthropic: async () => {
    const { createAnthropic } = await import("@ai-sdk/anthropic");
    return { messages: createAnthropic({ baseURL, apiKey })(model) };
  },
};

const offered = Object.fromEntries(
  Object.entries(tools).map(([name, { description, parameters, run }]) => [
    name,
    tool({ description, inputSchema: jsonSchema(parameters), execute: async (args) => run(args) }),
  ]),
);
const schema = z.object({ colour: z.string(), count: z.number() });
const taskOf = (of) => ({ model: of, prompt: taskPrompt, tools: offered, stopWhen: stepCountIs(8) });

async function joined(stream) {
  let text = "";
  for await (const delta of stream) text += delta;
  return text;
}

/** Streams don't reject: they tell it here. */
function failing() {
  let failure;
  const onError = ({ error }) => {
    failure = error;
  };
  return { onError, check: (value) => { if (failure !== undefined) throw failure; return value; } };
}

async function streamed(request) {
  const { onError, check } = failing();
  const result = streamText({ ...request, onError });
  const text = await joined(result.textStream);
  check();
  return { text, result };
}

const stepsOf = (api, of) => ({
  [`${api}`]: async () => same((await generateText({ model: of, prompt: "SAY-1" })).text, greeting),
  [`${api} stream`]: async () => same((await streamed({ model: of, prompt: "SAY-1" })).text, greeting),
  [`${api} tools`]: () => doTask(async () => (await generateText(taskOf(of))).text),
  [`${api} tools stream`]: () =>
    doTask(async () => {
      const { result } = await streamed(taskOf(of));
      return result.text;
    }),
  [`${api} object`]: async () => {
    const { object } = await generateObject({ model: of, prompt: "SCHEMA-1 CALL-json-1", schema });
    return same(object, colour);
  },
  [`${api} object stream`]: async () => {
    const { onError, check } = failing();
    const result = streamObject({ model: of, prompt: "SCHEMA-1 CALL-json-1", schema, onError });
    for await (const part of result.partialObjectStream) check(part);
    check();
    return same(await result.object, colour);
  },
});

const models = await providers[process.argv[2]]();
const steps = Object.entries(models).map(([api, of]) => stepsOf(api, of));
await runSteps(Object.assign({}, ...steps));
