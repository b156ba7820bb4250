// LangChain on this server: a streamed answer, and tools that this program runs.
//   node chat.mjs [http://127.0.0.1:8088]
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const url = process.argv[2] ?? "http://127.0.0.1:8088";
const { data } = await (await fetch(`${url}/v1/models`)).json();
const turnsMax = 8;
const skies = { Oslo: "grey", Rome: "blue" };

const weather = tool(
  async ({ city }) => {
    if (!(city in skies)) throw new Error(`${city} has no weather station.`);
    return JSON.stringify({ city, sky: skies[city] });
  },
  {
    name: "weather",
    description: "The weather of a city today",
    schema: z.object({ city: z.string().describe("Its name") }),
  },
);

const model = new ChatOpenAI({
  model: data[0].id,
  apiKey: process.env.MLX_SERVING_API_KEY ?? "none",
  configuration: { baseURL: `${url}/v1` },
}).bindTools([weather]);

/** Prints the answer as it comes; the whole of it. */
async function ask(messages) {
  let answer;
  for await (const chunk of await model.stream(messages)) {
    process.stdout.write(chunk.text);
    answer = answer === undefined ? chunk : answer.concat(chunk);
  }
  return answer;
}

const messages = [new HumanMessage("I go to Oslo, then to Rome. What do I pack?")];
for (let turn = 1; ; turn += 1) {
  const answer = await ask(messages);
  messages.push(answer);
  if (answer.tool_calls.length === 0) break;
  if (turn === turnsMax) throw new Error(`no answer within ${turnsMax} turns`);
  for (const call of answer.tool_calls) {
    const output = await weather.invoke(call);
    console.log(`\n[${call.name}] ${output.content}`);
    messages.push(output);
  }
}
console.log();
