/** LangChain for npm, with OpenAI's chat and Responses and with Anthropic's messages: texts, streams, tools, schemas. */
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { colour, greeting, model, runSteps, same, url } from "./support/steps.mjs";
import { callTool, doTask, taskPrompt, tools } from "./support/tools.mjs";

const openai = { model, apiKey: "none", configuration: { baseURL: `${url}/v1` } };
const models = {
  chat: new ChatOpenAI(openai),
  responses: new ChatOpenAI({ ...openai, useResponsesApi: true }),
  messages: new ChatAnthropic({ model, apiKey: "none", anthropicApiUrl: url, maxTokens: 2048 }),
};
const offered = Object.entries(tools).map(([name, { description, parameters }]) => ({
  ...{ type: "function", function: { name, description, parameters } },
}));
const Colour = z.object({ colour: z.string(), count: z.number() });

async function streamed(of, messages) {
  let whole;
  for await (const chunk of await of.stream(messages)) whole = whole === undefined ? chunk : whole.concat(chunk);
  return whole;
}

async function task(ask) {
  const messages = [new HumanMessage(taskPrompt)];
  for (;;) {
    const answer = await ask(messages);
    if (answer.tool_calls.length === 0) return answer.text;
    messages.push(answer);
    for (const { id, name, args } of answer.tool_calls)
      messages.push(new ToolMessage({ tool_call_id: id, content: callTool(name, args) }));
  }
}

const stepsOf = (api, of) => ({
  [`${api}`]: async () => same((await of.invoke("SAY-1")).text, greeting),
  [`${api} stream`]: async () => same((await streamed(of, "SAY-1")).text, greeting),
  [`${api} tools`]: () => doTask(() => task((messages) => of.bindTools(offered).invoke(messages))),
  [`${api} tools stream`]: () => doTask(() => task((messages) => streamed(of.bindTools(offered), messages))),
  [`${api} structured`]: async () => {
    const bound = of.withStructuredOutput(Colour, { name: "Colour", method: "jsonSchema" });
    return same(await bound.invoke("SCHEMA-1"), colour);
  },
  [`${api} structured by a call`]: async () => {
    const bound = of.withStructuredOutput(Colour, { name: "Colour", method: "functionCalling" });
    return same(await bound.invoke("CALL-Colour-1"), colour);
  },
});

await runSteps(Object.assign({}, ...Object.entries(models).map(([api, of]) => stepsOf(api, of))));
