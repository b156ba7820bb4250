/**
 * What a server's worker holds of memory, looked at every 50 ms: its resident memory, as the system has it, and what
 * it says of itself. On Linux alone; elsewhere there is no cheap way to ask.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServerProcess } from "../e2e/support/server.js";

export const lookEveryMs = 50;
const pageBytes = 4_096;

export interface Held {
  looks: number;
  /** The longest time between two looks. */
  gapMsMax: number;
  /** The most that was seen. */
  residentBytes: number;
  /** Weights, rows and store, by what the worker told. */
  toldBytes: number;
}

export async function watchMemory(server: ServerProcess, isOver: () => boolean): Promise<Held> {
  const held: Held = { looks: 0, gapMsMax: 0, residentBytes: 0, toldBytes: 0 };
  let before = performance.now();
  while (!isOver()) {
    const { pid, limits, telemetry } = await server.worker();
    if (pid !== undefined) {
      held.residentBytes = Math.max(held.residentBytes, (await residentBytesOf(pid)) ?? 0);
      const { kvBytes, prefixCacheBytes } = telemetry ?? {};
      const told = Number(kvBytes ?? 0) + Number(prefixCacheBytes ?? 0);
      held.toldBytes = Math.max(held.toldBytes, (limits?.weightsBytes ?? 0) + told);
    }
    held.looks++;
    const now = performance.now();
    held.gapMsMax = Math.max(held.gapMsMax, now - before);
    before = now;
    await sleep(lookEveryMs);
  }
  return held;
}

/** Undefined for a process that has just ended, or where the system has no such file. */
export async function residentBytesOf(pid: number): Promise<number | undefined> {
  try {
    return Number((await readFile(`/proc/${pid}/statm`, "utf8")).split(" ")[1]) * pageBytes;
  } catch {
    return undefined;
  }
}
