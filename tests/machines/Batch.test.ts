import { describe, expect, it } from "vitest";
import type { Cost, Effect, Event, Member, State, Terms } from "../../src-ts/machines/Batch.js";
import { free, initial, members, transition } from "../../src-ts/machines/Batch.js";
import { accepted } from "./support.js";

const terms: Terms = {
  key: "m",
  budget: { members: 3, kvBytes: 100, prefillTokens: 50 },
  windowMs: 2,
};
const cost = (more: Partial<Cost> = {}): Cost => ({
  promptTokens: 20,
  newTokens: 5,
  kvBytes: 30,
  ...more,
});
const member = (requestId: string, more: Partial<Member> = {}): Member => ({
  requestId,
  cost: cost(),
  exclusive: false,
  prefilled: false,
  ...more,
});
const join = (requestId: string, more: Partial<Extract<Event, { kind: "join" }>> = {}): Event => ({
  kind: "join",
  requestId,
  cost: cost(),
  key: "m",
  exclusive: false,
  at: 5,
  ...more,
});
const running = (...members: Member[]): State => ({ kind: "running", terms, members });
const forming = (running: Member[], joining: Member[]): State => ({
  kind: "forming",
  terms,
  running,
  joining,
  since: 5,
});
const draining = (...members: Member[]): State => ({
  kind: "draining",
  terms,
  members,
  cause: "shutdown",
});
const closed: State = { kind: "closed" };
const end: Effect = { kind: "closed" };
const [a, b, c] = [member("a"), member("b"), member("c")];

const moves: [name: string, from: State, event: Event, to: State, effects: Effect[]][] = [
  [
    "the first to join opens the window",
    running(),
    join("a"),
    forming([], [a]),
    [{ kind: "arm", ms: 2 }],
  ],
  ["whoever joins meanwhile waits with it", forming([], [a]), join("b"), forming([], [a, b]), []],
  [
    "the end of the window submits them together",
    forming([c], [a, b]),
    { kind: "windowElapsed" },
    running(c, a, b),
    [{ kind: "submit", requestIds: ["a", "b"] }],
  ],
  [
    "a window whose joiners have all left submits nothing",
    forming([c], []),
    { kind: "windowElapsed" },
    running(c),
    [],
  ],
  [
    "without a window a join is submitted at once",
    initial({ ...terms, windowMs: 0 }),
    join("a"),
    { kind: "running", terms: { ...terms, windowMs: 0 }, members: [a] },
    [{ kind: "submit", requestIds: ["a"] }],
  ],
  [
    "an exclusive one joins an empty batch",
    running(),
    join("a", { exclusive: true }),
    forming([], [member("a", { exclusive: true })]),
    [{ kind: "arm", ms: 2 }],
  ],
  [
    "a finished prompt frees its prefill tokens",
    running(a, b),
    { kind: "prefilled", requestId: "b" },
    running(a, member("b", { prefilled: true })),
    [],
  ],
  [
    "one that leaves frees its budget",
    running(a, b),
    { kind: "leave", requestId: "a" },
    running(b),
    [],
  ],
  [
    "one may leave before it was submitted",
    forming([c], [a]),
    { kind: "leave", requestId: "a" },
    forming([c], []),
    [],
  ],
  [
    "draining evicts who was not submitted yet",
    forming([c], [a, b]),
    { kind: "drain", cause: "shutdown" },
    draining(c),
    [{ kind: "evict", requestIds: ["a", "b"] }],
  ],
  [
    "draining an empty batch closes it",
    running(),
    { kind: "drain", cause: "unload" },
    closed,
    [end],
  ],
  [
    "the last to leave closes a draining batch",
    draining(a),
    { kind: "leave", requestId: "a" },
    closed,
    [end],
  ],
  [
    "the worker's loss ends it for everyone",
    forming([c], [a]),
    { kind: "workerLost" },
    closed,
    [end],
  ],
];

const refusals: [name: string, from: State, event: Event, rejection: object][] = [
  ["another key", running(), join("a", { key: "n" }), { kind: "incompatible", key: "m" }],
  ["a second time the same", running(a), join("a"), { kind: "illegal" }],
  ["a negative cost", running(), join("a", { cost: cost({ kvBytes: -1 }) }), { kind: "illegal" }],
  [
    "a fourth of three",
    running(...[a, b, c].map((one) => ({ ...one, cost: cost({ kvBytes: 1, promptTokens: 1 }) }))),
    join("d"),
    { kind: "full", membersMax: 3 },
  ],
  [
    "company for an exclusive one",
    running(a),
    join("x", { exclusive: true }),
    { kind: "full", membersMax: 3 },
  ],
  [
    "company beside an exclusive one",
    forming([], [member("a", { exclusive: true })]),
    join("x"),
    { kind: "full", membersMax: 3 },
  ],
  [
    "more KV bytes than are free",
    running(a, b),
    join("x", { cost: cost({ kvBytes: 41, promptTokens: 0 }) }),
    { kind: "overBudget", resource: "kvBytes", needed: 41, free: 40 },
  ],
  [
    "more prompt than is free while others prefill",
    running(a),
    join("x", { cost: cost({ promptTokens: 31 }) }),
    { kind: "overBudget", resource: "prefillTokens", needed: 31, free: 30 },
  ],
  ["a join while draining", draining(a), join("x"), { kind: "draining" }],
  ["a join after the end", closed, join("x"), { kind: "late" }],
  ["a window that has elapsed", running(a), { kind: "windowElapsed" }, { kind: "late" }],
  [
    "a prefill of what was never submitted",
    forming([], [a]),
    { kind: "prefilled", requestId: "a" },
    { kind: "illegal" },
  ],
  [
    "a second end of one prefill",
    running(member("a", { prefilled: true })),
    { kind: "prefilled", requestId: "a" },
    { kind: "late" },
  ],
  ["a stranger's leave", running(a), { kind: "leave", requestId: "x" }, { kind: "late" }],
  ["a second drain", draining(a), { kind: "drain", cause: "restart" }, { kind: "late" }],
];

describe("Batch", () => {
  it.each(moves)("%s", (_, from, event, to, effects) => {
    expect(accepted(transition(from, event))).toEqual({ ok: true, state: to, effects });
  });
  it.each(refusals)("rejects %s", (_, from, event, rejection) => {
    expect(transition(from, event)).toEqual({ ok: false, rejection });
  });

  it("admits a prompt beyond the prefill budget when no other prefill is in flight", () => {
    const long = join("x", { cost: cost({ promptTokens: 70 }) });
    const { state } = accepted(transition(running(member("a", { prefilled: true })), long));
    expect(free(state).prefillTokens).toBe(0);
    expect(transition(state, join("y", { cost: cost({ promptTokens: 1 }) })).ok).toBe(false);
    expect(transition(state, join("y", { cost: cost({ promptTokens: 0 }) })).ok).toBe(true);
  });

  it("tells what is free", () => {
    expect(free(initial(terms))).toEqual(terms.budget);
    expect(free(forming([member("a", { prefilled: true })], [b]))).toEqual({
      members: 1,
      kvBytes: 40,
      prefillTokens: 30,
    });
    const nothing = { members: 0, kvBytes: 0, prefillTokens: 0 };
    expect(free(draining(a))).toEqual(nothing);
    expect(free(closed)).toEqual(nothing);
  });

  it("tells who is in it, submitted or not", () => {
    expect(members(forming([c], [a, b]))).toEqual([c, a, b]);
    expect(members(draining(a))).toEqual([a]);
    expect(members(closed)).toEqual([]);
  });
});
