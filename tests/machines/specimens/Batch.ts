import type { Event, Member, State, Terms } from "../../../src-ts/machines/Batch.js";
import { type Specimens, specimen } from "../support.js";

const budget = { members: 3, kvBytes: 100, prefillTokens: 50 } as const;
const terms: Terms = { key: "m", budget, windowMs: 2 };
const instant: Terms = { ...terms, windowMs: 0 };
const cost = { promptTokens: 20, newTokens: 10, kvBytes: 40 } as const;

const member = (requestId: string, more: Partial<Member> = {}): Member => ({
  requestId,
  cost,
  exclusive: false,
  prefilled: false,
  ...more,
});
const [a, b, c] = [member("a"), member("b"), member("c", { cost: { ...cost, kvBytes: 10 } })];

export const states: Specimens<State> = {
  running: [
    specimen({ kind: "running", terms, members: [] }, "empty"),
    specimen({ kind: "running", terms: instant, members: [] }, "empty, no window"),
    specimen({ kind: "running", terms, members: [a] }, "one member"),
    specimen(
      { kind: "running", terms, members: [member("a", { prefilled: true }), b, c] },
      "all slots taken",
    ),
    specimen(
      { kind: "running", terms, members: [member("a", { exclusive: true })] },
      "an exclusive member",
    ),
  ],
  forming: [
    specimen({ kind: "forming", terms, running: [b], joining: [a], since: 0 }, "with joiners"),
    specimen({ kind: "forming", terms, running: [], joining: [a], since: 0 }, "joiners alone"),
    specimen({ kind: "forming", terms, running: [], joining: [], since: 0 }, "joiners all gone"),
  ],
  draining: [
    specimen({ kind: "draining", terms, members: [a], cause: "shutdown" }, "one member"),
    specimen({ kind: "draining", terms, members: [a, b], cause: "shutdown" }, "several members"),
  ],
  closed: [specimen({ kind: "closed" })],
};

const join = { kind: "join", requestId: "x", cost, key: "m", exclusive: false, at: 7 } as const;

export const events: Specimens<Event> = {
  join: [
    specimen(join, "within the budget"),
    specimen({ ...join, exclusive: true }, "exclusive"),
    specimen({ ...join, cost: { ...cost, kvBytes: 101 } }, "too many KV bytes"),
    specimen({ ...join, cost: { ...cost, promptTokens: 60, kvBytes: 1 } }, "a very long prompt"),
    specimen({ ...join, key: "n" }, "another key"),
    specimen({ ...join, requestId: "a" }, "already here (a)"),
  ],
  windowElapsed: [specimen({ kind: "windowElapsed" })],
  prefilled: [
    specimen({ kind: "prefilled", requestId: "a" }, "of a"),
    specimen({ kind: "prefilled", requestId: "x" }, "of a stranger"),
  ],
  leave: [
    specimen({ kind: "leave", requestId: "a" }, "of a"),
    specimen({ kind: "leave", requestId: "x" }, "of a stranger"),
  ],
  drain: [specimen({ kind: "drain", cause: "restart" })],
  workerLost: [specimen({ kind: "workerLost" })],
};
