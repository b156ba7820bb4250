// A model that calls functions of this program until it can answer.
//   node agent.js [ws://127.0.0.1:8088]
import { connect, tool } from "mlx-serving/client";
import { z } from "zod";

const skies: Record<string, string> = { Oslo: "grey", Rome: "blue" };

const weather = tool({
  name: "weather",
  description: "The weather of a city today",
  parameters: z.object({ city: z.string().describe("Its name") }),
  // The arguments are checked and typed by the schema. What is thrown here, the model is told.
  execute: async ({ city }) => {
    const sky = skies[city];
    if (sky === undefined) throw new Error(`${city} has no weather station.`);
    return { city, sky };
  },
});

await using client = await connect(process.argv[2] ?? "ws://127.0.0.1:8088");
const run = client.run(
  { input: "I go to Oslo, then to Rome. What do I pack?", tools: [weather] },
  { turnsMax: 8, toolTimeoutMs: 10_000, signal: AbortSignal.timeout(60_000) },
);
for await (const event of run) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
  if (event.type === "run.tool.ended")
    console.log(`\n[${event.outcome.call.name}] ${event.outcome.output}`);
}
const { turns, toolCalls } = await run.final();
console.log(`\n${turns} turns, ${toolCalls.length} calls`);
