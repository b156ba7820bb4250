/** Workers die, streams go on. */
import { describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 120_000 });

const streams = 16;
const tokens = 150;
/** Deltas of the first stream after which the worker is killed. */
const killsAfter = [20, 45, 70, 95, 120];

const body = (i: number) => ({ input: `Story ${i}`, max_output_tokens: tokens });

/** Kills whichever process is decoding now. On a busy machine the server learns late that the last one is dead. */
async function killWorker(server: ServerProcess, killed: Set<number>): Promise<void> {
  const { pid } = await server.until(
    ({ pid, decoding }) => pid !== undefined && !killed.has(pid) && decoding > 0,
  );
  killed.add(pid!);
  process.kill(pid!, "SIGKILL");
}

describe("five SIGKILLs of the worker during 16 streams on one socket", () => {
  it("change no text and lose no event", async () => {
    await using server = await startServer({
      flags: ["--engine", "fake", "--fake-tokens-per-second", "100"],
    });
    await using client = await connect(server.url);
    let migrations = 0;
    client.on("migrated", () => {
      migrations += 1;
    });
    const run = () => Array.from({ length: streams }, (_, i) => client.respond(body(i)));
    const undisturbed = await Promise.all(run().map((stream) => stream.final()));
    expect(migrations).toBe(0);

    const disturbed = run();
    const finals = Promise.all(disturbed.map((stream) => stream.final()));
    let deltas = 0;
    const pending = [...killsAfter];
    const killed = new Set<number>();
    for await (const { type } of disturbed[0]!) {
      if (type === "response.output_text.delta") deltas += 1;
      if (deltas !== pending[0]) continue;
      pending.shift();
      await killWorker(server, killed);
    }
    const ends = await finals;
    expect(pending).toEqual([]);
    expect(ends.map(({ text }) => text)).toEqual(undisturbed.map(({ text }) => text));
    expect(ends.map(({ usage }) => usage)).toEqual(undisturbed.map(({ usage }) => usage));
    expect(ends.map(({ response }) => response.status)).toEqual(Array(streams).fill("incomplete"));
    expect((await server.worker()).restarts).toBe(killsAfter.length);
    expect(migrations).toBe(streams * killsAfter.length);
  });
});
