// A question and its answer as it is made; Ctrl-C ends the answer and not the program.
//   node stream.mjs [http://127.0.0.1:8088] [question]
import { connect, isClientError } from "mlx-serving/client";

const [url = "http://127.0.0.1:8088", ...words] = process.argv.slice(2);
const question = words.join(" ") || "Why is the sky blue?";

try {
  const client = await connect(url, { apiKey: process.env.MLX_SERVING_API_KEY });
  // The loop below notices nothing of it.
  client.on("reconnecting", ({ delayMs }) => console.error(`[lost the server, again in ${delayMs} ms]`));
  const stream = client.respond({ input: question });
  process.once("SIGINT", () => stream.cancel());
  for await (const event of stream)
    if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
  const { usage, response } = await stream.final();
  console.log(`\n[${response.status}, ${usage?.output_tokens ?? 0} tokens]`);
  await client.close();
} catch (error) {
  if (!isClientError(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
