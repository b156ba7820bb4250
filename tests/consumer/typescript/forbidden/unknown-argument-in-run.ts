// expect: TS2339
// Of several tools each has its own.
import type { Client } from "mlx-serving/client";
import { z } from "zod";

export const run = (client: Client) =>
  client.run({
    input: "Where?",
    tools: [
      { name: "a", parameters: z.object({ city: z.string() }), execute: ({ city }) => city },
      { name: "b", parameters: z.object({ days: z.int() }), execute: ({ city }) => city },
    ],
  });
