/** Server-sent events, however their bytes are cut. */
import { expect, it } from "vitest";
import { eventsOf } from "../../../../src-ts/console/server/event-stream.js";

async function read(...chunks: Uint8Array[]): Promise<string[]> {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const events: string[] = [];
  for await (const event of eventsOf(new Response(body))) events.push(event);
  return events;
}

it("come whole, without comments, and in order", async () => {
  const bytes = new TextEncoder().encode(
    ": hi\n\nevent: a\ndata: grün\n\ndata: 1\ndata: 2\n\ndata: cut",
  );
  const each = Array.from(bytes, (byte) => Uint8Array.of(byte));
  expect(await read(bytes)).toEqual(["grün", "1\n2"]);
  expect(await read(...each)).toEqual(["grün", "1\n2"]);
});
