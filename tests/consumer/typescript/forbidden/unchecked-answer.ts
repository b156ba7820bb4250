// expect: TS2531
// An answer may come to no end.
import type { Client } from "mlx-serving/client";
import { z } from "zod";

export async function sky(client: Client): Promise<string> {
  const format = z.object({ sky: z.string() });
  return (await client.respond({ input: "Sky?", text: { format } }).final()).parsed.sky;
}
