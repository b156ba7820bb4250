/** The real clock, ids and chance. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Ids } from "./ports.js";

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: queueMicrotask,
};

export const systemIds: Ids = {
  response: (prefix) => `${prefix}_${randomBytes(18).toString("hex")}`,
};
