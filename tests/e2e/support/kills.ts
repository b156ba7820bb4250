/** A worker that dies while somebody reads its text. */
import type { ResponseStream } from "../../../src-ts/client/index.js";
import type { ServerProcess } from "./server.js";

/**
 * Reads the stream and kills the first worker, with SIGKILL, whenever so many characters are there: in ascending
 * order, each once, another process each time. Deltas would be no measure: a busy server puts several tokens into one.
 */
export async function killedAt(
  server: ServerProcess,
  stream: ResponseStream,
  characters: readonly number[],
): Promise<string> {
  const pending = [...characters];
  const killed = new Set<number>();
  let text = "";
  for await (const event of stream) {
    if (event.type !== "response.output_text.delta") continue;
    text += event.delta;
    if (text.length < (pending[0] ?? Number.POSITIVE_INFINITY)) continue;
    pending.shift();
    // On a busy machine the server learns late that the last one is dead.
    const { pid } = await server.until(
      ({ pid, decoding }) => pid !== undefined && !killed.has(pid) && decoding > 0,
    );
    killed.add(pid!);
    process.kill(pid!, "SIGKILL");
  }
  if (pending.length > 0)
    throw new Error(`the stream ended before ${pending[0]} characters: ${text.length}`);
  return text;
}
