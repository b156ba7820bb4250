/** A server on which everything has happened that `/metrics` can tell of: every metric has a sample, with every label. */
import { type KeyEntry, type KeySource, plainEntry } from "../../../src-ts/keys/entry.js";
import { createServer } from "../../../src-ts/server/index.js";
import { hold, ScriptedEngine } from "./scripted-engine.js";

const key = "sk-every-metric";

export async function everyMetric(): Promise<string> {
  const engine = new ScriptedEngine();
  engine.storage_ = { bytes: 5_000, liveBytes: 3_000, segments: 2, failing: false };
  engine.telemetry = workerTelemetry;
  const telemetry = { spansExported: 8, spansDropped: 3, failures: { traces: 2, metrics: 1 } };
  const config = { port: 0, keys: keysOf({ models: ["org/first"] }), telemetry };
  const server = createServer({ engine, config });
  const { url } = await server.listen();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const post = (body: object) =>
    fetch(`${url}/v1/responses`, { method: "POST", headers, body: JSON.stringify(body) });
  await post({ input: "Hi" });
  await post({ input: "Hi", model: "second" });
  await post({
    input: "Hi",
    text: { format: { type: "json_schema", name: "a", schema: { if: 1 } } },
  });
  engine.script = hold;
  const answer = post({ input: "Hi" });
  while (engine.runs.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
  const run = engine.runs[1]!;
  engine.migrate(run, 1);
  run.speak(["call", "look"], ["arguments", "{}"], ["callEnd", true]);
  tellTheRest(engine);
  run.end({ kind: "toolCalls" });
  await answer;
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  await server.close();
  await engine.close();
  return text;
}

function tellTheRest(engine: ScriptedEngine): void {
  const { log } = engine.runs[1]!;
  engine.tellObservers((observer) => {
    observer.replayed?.(log, { tokens: 37 });
    observer.refused?.({ code: "queue_full", status: 429, model: "org/first" });
    observer.workerLost?.({ workerId: "w1", epoch: 1, fault: "exited", leases: 2 });
    observer.rejection?.({ machine: "Worker", kind: "stale", state: "ready", event: "pong" });
  });
}

const workerTelemetry = {
  prefixCacheBytes: 4096,
  memoryBytes: 8192,
  prefixes: {
    ...{ entries: 40, hitTokens: 900, neverSeenTokens: 50, evictedTokens: 40, otherSaltTokens: 30 },
    ...{ belowBlockTokens: 20, evictions: 7 },
  },
  prefixDisk: {
    ...{ on: true, blocks: 31, bytes: 4096, pending: 2, hits: 5, hitTokens: 320, misses: 3 },
    ...{ writes: 33, drops: 1, evictions: 2, unfit: 4, readErrors: 6, writeErrors: 7, slow: 8 },
  },
  grammars: {
    ...{ requests: 9, refused: 1, compiled: 6, compileMs: 2_500, masks: 400, maskMs: 8 },
    compileTimes: [[1, 3]] as [number, number][],
  },
};

function keysOf(fields: Partial<KeyEntry>): KeySource {
  const entries = [{ ...plainEntry(key), ...fields }];
  return { entries, mistake: undefined, readAt: undefined, onChange() {} };
}
