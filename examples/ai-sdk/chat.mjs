// Vercel's AI SDK on this server: a streamed answer, and tools that the SDK runs.
//   node chat.mjs [http://127.0.0.1:8088]
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const url = process.argv[2] ?? "http://127.0.0.1:8088";
const { data } = await (await fetch(`${url}/v1/models`)).json();
const server = createOpenAICompatible({
  name: "mlx-serving",
  baseURL: `${url}/v1`,
  apiKey: process.env.MLX_SERVING_API_KEY ?? "none",
  // Schemas are kept while the answer is made, so the SDK may send them.
  supportsStructuredOutputs: true,
});

const skies = { Oslo: "grey", Rome: "blue" };
const weather = tool({
  description: "The weather of a city today",
  inputSchema: z.object({ city: z.string().describe("Its name") }),
  execute: async ({ city }) => {
    if (!(city in skies)) throw new Error(`${city} has no weather station.`);
    return { city, sky: skies[city] };
  },
});

const result = streamText({
  model: server(data[0].id),
  prompt: "I go to Oslo, then to Rome. What do I pack?",
  tools: { weather },
  stopWhen: stepCountIs(8),
  onError: ({ error }) => {
    console.error(error);
    process.exitCode = 1;
  },
});
for await (const part of result.fullStream) {
  if (part.type === "text-delta") process.stdout.write(part.text);
  if (part.type === "tool-result") console.log(`\n[${part.toolName}] ${JSON.stringify(part.output)}`);
}
console.log();
