/** From the SIGKILL of a worker to the next token of its stream, with and without a spare worker. */
import { setTimeout as sleep } from "node:timers/promises";
import { startServer } from "../gate/server.mjs";
import { flagsOf, spreadOf } from "./common.mjs";

const spareCounts = [0, 1];
const deltasBeforeKill = 5;
const pollMs = 50;
const maxTokens = 2_000;
const fakeTokensPerSecond = 100;

/**
 * Both servers run all the time, and are killed in turn.
 * @param {{ engine: string, rounds: number, connect: Function, signal: AbortSignal, say: (text: string) => void }} options
 */
export async function measureRecovery({ engine, rounds, connect, signal, say }) {
  const servers = [];
  try {
    for (const spares of spareCounts) servers.push(await start(engine, spares, signal));
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? servers : servers.toReversed();
      for (const server of order) server.pausesMs.push(await pauseOf(server, connect, round));
    }
    return servers.map(({ spares, pausesMs }) => {
      const pauseMs = spreadOf(pausesMs);
      const { median, min, max } = pauseMs;
      say(`  ${engine}, ${spares} spare: ${median} ms (${min} to ${max})`);
      return { engine, spares, pauseMs };
    });
  } finally {
    for (const { server } of servers) await server.stop();
  }
}

async function start(engine, spares, signal) {
  const speed = engine === "fake" ? ["--fake-tokens-per-second", String(fakeTokensPerSecond)] : [];
  const flags = [...flagsOf(engine), ...speed, "--spare-workers", String(spares)];
  const server = await startServer({ flags, env: {}, signal });
  return { server, spares, pausesMs: [] };
}

/** The tokens that were under way arrive still: the next one is that of the other worker. */
async function pauseOf({ server: { url }, spares }, connect, round) {
  const busyPid = await untilAllReady(url, spares + 1);
  const client = await connect(url);
  try {
    let killedAt;
    let hasMigrated = false;
    let deltas = 0;
    client.on("migrated", () => {
      hasMigrated = true;
    });
    const stream = client.respond({ input: `Round ${round}`, max_output_tokens: maxTokens });
    for await (const { type } of stream) {
      if (type !== "response.output_text.delta") continue;
      if (hasMigrated) return performance.now() - killedAt;
      deltas += 1;
      if (deltas !== deltasBeforeKill) continue;
      const victim = await busyPid();
      killedAt = performance.now();
      process.kill(victim, "SIGKILL");
    }
    throw new Error("The stream has ended before its worker was replaced.");
  } finally {
    await client.close();
  }
}

/** Resolves with a way to find the worker that decodes. */
async function untilAllReady(url, count) {
  const workers = async () => (await fetch(`${url}/admin/workers`)).json();
  for (;;) {
    const states = (await workers()).map(({ state }) => state);
    if (states.length === count && states.every((state) => state === "ready")) break;
    await sleep(pollMs);
  }
  return async () => {
    for (;;) {
      const busy = (await workers()).find(({ decoding }) => decoding > 0);
      if (busy?.pid !== undefined) return busy.pid;
    }
  };
}
