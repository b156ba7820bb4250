/** From the SIGKILL of a worker to the next token of its stream, with and without a spare worker. */
import { setTimeout as sleep } from "node:timers/promises";
import { startServer } from "../gate/server.mjs";
import { flagsOf, spreadOf } from "./common.mjs";

const spareCounts = [0, 1];
const deltasBeforeKill = 5;
const pollMs = 50;
const maxTokens = 2_000;
const fakeTokensPerSecond = 100;
/** The embedded model's end of text never comes. */
const withoutEnd = { 2: -100 };

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
      for (const server of order) {
        // None may still be loading while the other is measured.
        for (const { server: each, spares } of servers) await untilAllReady(each.url, spares + 1);
        server.pausesMs.push(await pauseOf(server.server.url, connect, round));
      }
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
async function pauseOf(url, connect, round) {
  const client = await connect(url);
  try {
    let killedAt;
    let hasMigrated = false;
    let deltas = 0;
    client.on("migrated", () => {
      hasMigrated = true;
    });
    const body = { input: `Round ${round}`, max_output_tokens: maxTokens, logit_bias: withoutEnd };
    const stream = client.respond(body);
    for await (const { type } of stream) {
      if (type !== "response.output_text.delta") continue;
      if (hasMigrated) return performance.now() - killedAt;
      deltas += 1;
      if (deltas !== deltasBeforeKill) continue;
      const victim = await busyPid(url);
      killedAt = performance.now();
      process.kill(victim, "SIGKILL");
    }
    throw new Error("The stream has ended before its worker was replaced.");
  } finally {
    await client.close();
  }
}

const workersOf = async (url) => (await fetch(`${url}/admin/workers`)).json();

async function untilAllReady(url, count) {
  for (;;) {
    const states = (await workersOf(url)).map(({ state }) => state);
    if (states.length === count && states.every((state) => state === "ready")) return;
    await sleep(pollMs);
  }
}

/** Of the worker that decodes. */
async function busyPid(url) {
  for (;;) {
    const busy = (await workersOf(url)).find(({ decoding }) => decoding > 0);
    if (busy?.pid !== undefined) return busy.pid;
  }
}
