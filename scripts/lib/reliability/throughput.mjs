/** Tokens a second at 16 streams of stored responses: with a data folder against without one, side by side. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../gate/server.mjs";
import { flagsOf, spreadOf } from "./common.mjs";

const streams = 16;
const loads = {
  fake: { maxTokens: 256, duration: 6_000 },
  mlx: { maxTokens: 64, duration: 15_000 },
};
const requestTimeoutMs = 120_000;
/** Finished responses must not become what is measured. */
const retention = ["--retention-bytes", "64MiB"];

const storages = { "--data-dir": [], "--data-dir --fsync": ["--fsync"] };

/**
 * @param {{ engine: string, rounds: number, runBench: Function, signal: AbortSignal, say: (text: string) => void }} options
 */
export async function measureThroughput({ engine, rounds, runBench, signal, say }) {
  const results = [];
  for (const [storage, flags] of Object.entries(storages)) {
    const result = await compare({ engine, rounds, runBench, signal, flags });
    const { ratio, tokensPerSecond } = result;
    say(
      `  ${engine}, ${storage}: ${ratio.median} (${ratio.min} to ${ratio.max}) of memory alone; ` +
        `${tokensPerSecond.stored} against ${tokensPerSecond.memory} tokens/s`,
    );
    results.push({ engine, storage, streams, ...result });
  }
  return results;
}

async function compare({ engine, rounds, runBench, signal, flags }) {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-bench-"));
  const start = (more) =>
    startServer({ flags: [...flagsOf(engine), ...retention, ...more], env: {}, signal });
  try {
    const stored = await start(["--data-dir", folder, ...flags]);
    try {
      const memory = await start([]);
      try {
        return await load({ engine, rounds, runBench, url: stored.url, vs: memory.url });
      } finally {
        await memory.stop();
      }
    } finally {
      await stored.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function load({ engine, rounds, runBench, url, vs }) {
  const body = { store: true };
  const report = await runBench(
    {
      ...{ url, vs, body, vsBody: body, api: "websocket", sockets: 1, timeout: requestTimeoutMs },
      ...{ ...loads[engine], streams, rounds, warmup: streams },
    },
    { onRound() {}, onRequest() {} },
  );
  const [stored, memory] = report.targets.map(({ summary }) => summary);
  if (stored.succeeded < stored.requests || memory.succeeded < memory.requests)
    throw new Error("Requests have failed.");
  return {
    ratio: spreadOf(report.ratios.find(({ name }) => name === "tokens/s").rounds, 3),
    tokensPerSecond: {
      stored: Math.round(stored.tokensPerSecond),
      memory: Math.round(memory.tokensPerSecond),
    },
    generatorUtilization: Number(report.generatorUtilization.toFixed(2)),
  };
}
