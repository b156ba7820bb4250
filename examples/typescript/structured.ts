// An answer that is a value: the schema is kept while it is made, and types what comes out.
//   node structured.js [ws://127.0.0.1:8088]
import { connect } from "mlx-serving/client";
import { z } from "zod";

const Packing = z.object({
  items: z.array(z.string()).min(1).max(5),
  // The model writes a text, the program gets a date.
  leaving: z.iso.date().transform((text) => new Date(text)),
});

await using client = await connect(process.argv[2] ?? "ws://127.0.0.1:8088");
const stream = client.respond({
  input: "What do I pack for Oslo on the first of May? Answer as data.",
  text: { format: Packing },
});
const { parsed, response } = await stream.final();
if (parsed === null) throw new Error(`The answer came to no end: ${response.status}`);
console.log(`${parsed.leaving.toDateString()}: ${parsed.items.join(", ")}`);
