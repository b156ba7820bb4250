/** What must be true after a run. */
import { expect } from "vitest";
import type { playAll } from "./play.js";
import { type storeRun, sum } from "./store-run.js";

type Run = Omit<Awaited<ReturnType<typeof playAll>>, "figures">;
const added = (of: Record<string, number>) => Object.values(of).reduce((a, b) => a + b, 0);

/** Nothing failed, nothing is lost, and the server counts what its clients have seen. */
export function addsUp(
  { counts, failures, ended, kills, restarts, metrics }: Run,
  count: number,
): void {
  expect(failures).toEqual([]);
  expect(kills).toBeGreaterThan(0);
  const lost = metrics("workers_lost_total");
  expect(restarts).toBe(added(lost));
  // On a machine that is busy with other things the watchdog finds some stalled: these are no deaths of ours.
  const stalled = Object.entries(lost).filter(([labels]) => labels.includes('"stalled"'));
  expect(restarts - added(Object.fromEntries(stalled))).toBe(kills);
  const answered = Object.values(counts).map(
    ({ right, cut, gone, refused }) => right + cut + gone + refused,
  );
  expect(answered.reduce((a, b) => a + b)).toBe(count);
  const illegal = Object.keys(metrics("machine_rejections_total")).filter((labels) =>
    labels.includes("illegal"),
  );
  expect(illegal).toEqual([]);

  const finished = metrics("request_success_total");
  const byServer = (reason: string) =>
    added(
      Object.fromEntries(
        Object.entries(finished).filter(([labels]) =>
          labels.includes(`finished_reason="${reason}"`),
        ),
      ),
    );
  expect(byServer("failed") + byServer("expired")).toBe(0);
  expect(byServer("toolCalls")).toBe(ended.tool_calls ?? 0);
  // One that was left was cancelled, was not accepted yet, or had said its last word already.
  const { gone } = counts.cancelled;
  expect(byServer("cancelled")).toBeLessThanOrEqual(gone);
  const heard = (ended.stop ?? 0) + (ended.length ?? 0);
  const said = byServer("stop") + byServer("length");
  expect(said).toBeGreaterThanOrEqual(heard);
  expect(said + byServer("cancelled")).toBeLessThanOrEqual(heard + gone);
}

/** In the deterministic profile: what was asked in quiet too says the same to the letter. */
export function saysTheSame({ counts }: Pick<Run, "counts">): void {
  for (const [kind, { other }] of Object.entries(counts)) expect(other, kind).toBe(0);
}

/** Resident memory beyond what is counted: MLX keeps freed buffers, and computes in others. */
const workspaceBytesMax = 512 * 2 ** 20;

/** The store was checked by every worker that came so far, and nothing took more than its part, or than what the store lent it. */
export function keptItsBudget(run: Awaited<ReturnType<typeof storeRun>>): void {
  const { seen, pid, held, rowsBytes, storeBytes, budgetBytes, overheadBytes } = run;
  const of = sum(seen);
  // The last one has nothing to do: it has checked itself at its end.
  expect(seen.find((one) => one.pid === pid)?.checks).toBeGreaterThan(0);
  expect(of.storeBytes).toBeLessThanOrEqual(storeBytes);
  expect(of.bothBytes).toBeLessThanOrEqual(rowsBytes + storeBytes);
  if (storeBytes > 0) expect(of.evictions).toBeGreaterThan(0);
  expect(held.looks).toBeGreaterThan(0);
  expect(held.toldBytes).toBeLessThanOrEqual(budgetBytes);
  expect(held.residentBytes).toBeLessThanOrEqual(budgetBytes + overheadBytes + workspaceBytesMax);
}

/**
 * Of enough requests some are cancelled wherever one can be. In its prefill by what the server says: a worker hears of
 * it between two steps, and a step may be a whole prompt.
 */
export function cancelledInEveryPhase(run: Awaited<ReturnType<typeof storeRun>>) {
  const { seen, counts, cancelledIn } = run;
  const { removed } = sum(seen);
  const taken = added(removed);
  expect(cancelledIn.prefilling, "prefill").toBeGreaterThan(0);
  expect(removed.decode, "decode").toBeGreaterThan(0);
  // The others never came to a worker.
  expect(counts.cancelled.gone).toBeGreaterThan(taken);
}
