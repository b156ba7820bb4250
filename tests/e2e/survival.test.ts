/** Workers die, streams go on. */
import { describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { killedAt } from "./support/kills.js";
import { startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 120_000 });

const streams = 16;
/** Twice as long as the last kill needs: streams that nobody waits for go on meanwhile. */
const tokens = 240;
/** Of the first stream's text. */
const killsAt = [0.1, 0.2, 0.3, 0.4, 0.5];

const body = (i: number) => ({ input: `Story ${i}`, max_output_tokens: tokens });

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
    const { length } = undisturbed[0]!.text;
    await killedAt(
      server,
      disturbed[0]!,
      killsAt.map((share) => Math.ceil(share * length)),
    );
    const ends = await finals;
    expect(ends.map(({ text }) => text)).toEqual(undisturbed.map(({ text }) => text));
    expect(ends.map(({ usage }) => usage)).toEqual(undisturbed.map(({ usage }) => usage));
    expect(ends.map(({ response }) => response.status)).toEqual(Array(streams).fill("incomplete"));
    expect((await server.worker()).restarts).toBe(killsAt.length);
    expect(migrations).toBe(streams * killsAt.length);
  });
});
