/**
 * One run over a small prefix store and a small budget: both are too small for what is asked, so blocks are evicted
 * and requests wait for memory all the time. The workers check themselves (python/mlx_serving/fake/checked.py).
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import { startServer } from "../e2e/support/server.js";
import { Random } from "../simulation/random.js";
import { ask, type Choice } from "./ask.js";
import { residentBytesOf, watchMemory } from "./memory.js";
import { playAll, report, tally } from "./play.js";
import { brevityOf, fakeFlags, type Plan } from "./run.js";
import { storeRequests } from "./store-requests.js";

export interface StorePlan extends Plan {
  sharing: "own" | "all";
}

const mib = 2 ** 20;
/** The longest request of all has all of it to itself, with some of what the store has; the store has room for half of it. */
const sizes = {
  mlx: { rowsBytes: 80 * mib, storeBytes: 64 * mib },
  fake: { rowsBytes: 24 * mib, storeBytes: 0 },
};
const keys = ["key-of-the-one", "key-of-the-other"] as const;
const [apiKey] = keys;

/** What a worker has written of itself: see `Seen` of checked.py. Bytes are the most after any step. */
export interface Seen {
  pid: number;
  checks: number;
  evictions: number;
  prefix_bytes: number;
  kv_bytes: number;
  both_bytes: number;
  memory_bytes: number;
  removed: Record<"waiting" | "prefill" | "decode", number>;
}

export async function storeRun(plan: StorePlan) {
  const { maxBatch, count, atOnce, seed, engine, sharing } = plan;
  const chance = new Random(seed);
  const wanted = { count, keys, brevity: brevityOf(engine) };
  const { requests, references } = storeRequests(wanted, chance);
  const folder = await mkdtemp(join(tmpdir(), "mixed-store-"));
  try {
    const keyFile = join(folder, "keys");
    await writeFile(keyFile, `${keys.join("\n")}\n`);
    const common = [
      ...["--api-key-file", keyFile, "--log-level", "error", "--max-queue", `${2 * atOnce}`],
      ...(engine === "fake" ? fakeFlags : []),
    ];
    const alone = await askedAlone(common, references);

    const { rowsBytes, storeBytes } = sizes[engine];
    const budgetBytes = alone.weightsBytes + rowsBytes + storeBytes;
    const checks = join(folder, "checks");
    await using server = await startServer({
      apiKey,
      flags: [
        ...[...common, "--max-batch", `${maxBatch}`, "--prefix-sharing", sharing],
        ...["--memory-budget", `${budgetBytes}`, "--prefix-cache", `${storeBytes}`],
      ],
      env: { MLX_SERVING_CHECKS: checks },
    });
    let isOver = false;
    const watching = watchMemory(server, () => isOver);
    const load = { ...plan, apiKey, killsAfterEnds: true };
    const { figures, ...run } = await playAll(
      server,
      requests,
      alone.said,
      load,
      chance.fork(),
    ).finally(() => {
      isOver = true;
    });
    const held = await watching;
    // The last worker may have come after the last request.
    await ask(server.url, references[0]!.body, { apiKey });
    const { pid } = await server.worker();
    const seen = await seenWith(pid!, checks);
    const { counts, restarts, ended, failures, cancelledIn } = run;
    const summary = { maxBatch, sharing, count, atOnce, ...figures, restarts, counts, ended };
    const memory = { budgetBytes, rowsBytes, storeBytes, overheadBytes: alone.overheadBytes, held };
    const more = { failures: failures.length, cancelledIn, seen: sum(seen) };
    report(JSON.stringify({ ...summary, ...memory, ...more }));
    return { ...run, ...memory, pid, seen };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** In the deterministic profile, one after the other, where nothing is kept of one for the next. */
async function askedAlone(flags: string[], references: readonly { body: object }[]) {
  await using server = await startServer({
    apiKey,
    flags: [...flags, "--max-batch", "1", "--prefix-cache", "0"],
  });
  const { pid, limits } = await server.worker();
  const weightsBytes = limits?.weightsBytes ?? 0;
  const overheadBytes = ((await residentBytesOf(pid!)) ?? 0) - weightsBytes;
  const said: Choice[] = [];
  for (const { body } of references) said.push(await ask(server.url, body, { apiKey }));
  return { said, weightsBytes, overheadBytes };
}

/** What the workers have written, once this one has checked itself with nothing left to do. */
async function seenWith(pid: number, file: string): Promise<Seen[]> {
  return vi.waitUntil(
    async () => {
      const seen = latest(await readFile(file, "utf8"));
      return seen.some((one) => one.pid === pid && one.checks > 0) && seen;
    },
    { timeout: 60_000, interval: 50 },
  );
}

/** Of each worker the last line; one that was killed while it wrote has left a torn one. */
function latest(lines: string): Seen[] {
  const last = new Map<number, Seen>();
  for (const line of lines.split("\n")) {
    if (!line.endsWith("}}") || !line.startsWith("{")) continue;
    const seen = JSON.parse(line) as Seen;
    last.set(seen.pid, seen);
  }
  return [...last.values()];
}

export function sum(seen: readonly Seen[]) {
  const most = (of: (one: Seen) => number) => Math.max(0, ...seen.map(of));
  const removed: Record<string, number> = {};
  let checks = 0;
  let evictions = 0;
  for (const one of seen) {
    checks += one.checks;
    evictions += one.evictions;
    for (const [stage, count] of Object.entries(one.removed))
      for (let i = 0; i < count; i++) tally(removed, stage);
  }
  return {
    ...{ workers: seen.length, checks, evictions, removed },
    rowsBytes: most(({ kv_bytes }) => kv_bytes),
    storeBytes: most(({ prefix_bytes }) => prefix_bytes),
    bothBytes: most(({ both_bytes }) => both_bytes),
    mlxBytes: most(({ memory_bytes }) => memory_bytes),
  };
}
