/** OpenAI's Agents SDK for npm, over Responses and over chat: runs with tools, streamed and not, outputs with a schema. */
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";
import { colour, greeting, model, runSteps, same, url } from "./support/steps.mjs";
import { doTask, taskPrompt, tools } from "./support/tools.mjs";

setTracingDisabled(true);
const offered = Object.entries(tools).map(([name, { description, parameters, run }]) =>
  tool({ name, description, parameters, strict: true, execute: async (args) => run(args) }),
);
const Colour = z.object({ colour: z.string(), count: z.number() });
const plain = new Agent({ name: "plain", instructions: "Answer.", model });
const worker = new Agent({ name: "worker", instructions: "Work.", model, tools: offered });
const typed = new Agent({ name: "typed", instructions: "Answer.", model, outputType: Colour });

function stepsOf(api, useResponses) {
  const modelProvider = new OpenAIProvider({ baseURL: `${url}/v1`, apiKey: "none", useResponses });
  const runner = new Runner({ modelProvider, tracingDisabled: true });
  const streamed = async (agent, input) => {
    const result = await runner.run(agent, input, { stream: true });
    for await (const _ of result);
    await result.completed;
    return result.finalOutput;
  };
  const whole = async (agent, input) => (await runner.run(agent, input)).finalOutput;
  return {
    [`${api}`]: async () => same(await whole(plain, "SAY-1"), greeting),
    [`${api} stream`]: async () => same(await streamed(plain, "SAY-1"), greeting),
    [`${api} tools`]: () => doTask(() => whole(worker, taskPrompt)),
    [`${api} tools stream`]: () => doTask(() => streamed(worker, taskPrompt)),
    [`${api} output type`]: async () => same(await whole(typed, "SCHEMA-1"), colour),
  };
}

await runSteps({ ...stepsOf("responses", true), ...stepsOf("chat", false) });
