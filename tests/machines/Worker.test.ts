import { describe, expect, it } from "vitest";
import type { Effect, Event, State } from "../../src-ts/machines/Worker.js";
import { initial, protocol, transition } from "../../src-ts/machines/Worker.js";
import { accepted } from "./support.js";
import {
  arm,
  at,
  available,
  backoff,
  disarm,
  draining,
  epoch,
  exited,
  kill,
  loading,
  lose,
  memory,
  pid,
  policy,
  type Row,
  ready,
  started,
  starting,
  stopped,
  stopping,
  suspect,
  timer,
  unavailable,
} from "./Worker.fixtures.js";

const life: Row[] = [
  [
    "start spawns the first incarnation",
    initial(policy),
    { kind: "start" },
    { kind: "starting", memory, pid: 0 },
    [{ kind: "spawn", epoch: 1 }, arm("hello", policy.helloMs)],
  ],
  [
    "the system tells the pid",
    { kind: "starting", memory, pid: 0 },
    { kind: "spawned", epoch, pid },
    starting,
    [],
  ],
  [
    "hello begins the load",
    starting,
    { kind: "hello", epoch, protocol },
    loading,
    [disarm("hello"), { kind: "load", epoch }, arm("load", policy.loadStallMs)],
  ],
  [
    "load progress is patience",
    loading,
    { kind: "loadProgress", epoch, done: 3, total: 9 },
    { kind: "loading", memory, pid, done: 3, total: 9 },
    [arm("load", policy.loadStallMs)],
  ],
  [
    "busy while loading is more of it",
    loading,
    { kind: "busy", epoch, allowanceMs: 7_000, at },
    loading,
    [arm("load", policy.loadStallMs + 7_000)],
  ],
  [
    "loaded: it can take work",
    loading,
    { kind: "loaded", epoch, at },
    ready({ progressed: false }),
    [disarm("load"), available],
  ],
  [
    "the first work starts the watchdog",
    ready({ quietSince: 0 }),
    { kind: "pending", epoch, count: 1, preparing: 0, at },
    ready({ pending: 1 }),
    [arm("watchdog", policy.suspectMs)],
  ],
  [
    "more work does not",
    ready({ pending: 1, quietSince: 7 }),
    { kind: "pending", epoch, count: 2, preparing: 0, at },
    ready({ pending: 2, quietSince: 7 }),
    [],
  ],
  [
    "the last work stops it",
    ready({ pending: 1 }),
    { kind: "pending", epoch, count: 0, preparing: 0, at },
    ready(),
    [disarm("watchdog")],
  ],
  [
    "work for one that is busy waits for what is left of the allowance",
    ready({ quietSince: at - 1_000, allowanceMs: 4_000 }),
    { kind: "pending", epoch, count: 1, preparing: 0, at },
    ready({ pending: 1, allowanceMs: 3_000 }),
    [arm("watchdog", policy.suspectMs + 3_000)],
  ],
  [
    "progress ends the quiet",
    ready({ pending: 1, quietSince: 7, progressed: false }),
    { kind: "progressed", epoch, at },
    ready({ pending: 1 }),
    [],
  ],
  [
    "progress ends an allowance, and wakes the watchdog that slept for it",
    ready({ pending: 1, allowanceMs: 60_000 }),
    { kind: "progressed", epoch, at },
    ready({ pending: 1 }),
    [arm("watchdog", policy.suspectMs)],
  ],
];

const watchdog: Row[] = [
  [
    "a watchdog that wakes too early sleeps for the rest",
    ready({ pending: 1, quietSince: at - 2_000 }),
    timer("watchdog"),
    ready({ pending: 1, quietSince: at - 2_000 }),
    [arm("watchdog", policy.suspectMs - 2_000)],
  ],
  [
    "quiet for suspectMs: suspect",
    ready({ pending: 1, quietSince: at - policy.suspectMs }),
    timer("watchdog"),
    suspect({ quietSince: at - policy.suspectMs }),
    [unavailable, arm("watchdog", policy.stallMs - policy.suspectMs)],
  ],
  [
    "an allowance counts on top",
    ready({ pending: 1, quietSince: at - policy.suspectMs, allowanceMs: 1 }),
    timer("watchdog"),
    ready({ pending: 1, quietSince: at - policy.suspectMs, allowanceMs: 1 }),
    [arm("watchdog", 1)],
  ],
  [
    "quiet for stallMs: killed and lost",
    suspect({ quietSince: at - policy.stallMs }),
    timer("watchdog"),
    stopping("restart", "stalled"),
    [disarm("watchdog"), lose("stalled"), ...kill],
  ],
  [
    "progress clears a suspect",
    suspect({ quietSince: 0 }),
    { kind: "progressed", epoch, at },
    ready({ pending: 1 }),
    [available],
  ],
  [
    "so does a reason to be busy",
    suspect({ quietSince: 0 }),
    { kind: "busy", epoch, allowanceMs: 9_000, at },
    ready({ pending: 1, allowanceMs: 9_000 }),
    [available],
  ],
  [
    "so does an answer for all it held",
    suspect(),
    { kind: "pending", epoch, count: 0, preparing: 0, at },
    ready(),
    [disarm("watchdog"), available],
  ],
  [
    "while draining only a stall counts",
    draining("stop", { quietSince: at - policy.suspectMs }),
    timer("watchdog"),
    draining("stop", { quietSince: at - policy.suspectMs }),
    [arm("watchdog", policy.stallMs - policy.suspectMs)],
  ],
  [
    "and keeps what was wanted",
    draining("stop", { quietSince: at - policy.stallMs }),
    timer("watchdog"),
    stopping("stop", "stalled"),
    [disarm("drain"), disarm("watchdog"), lose("stalled"), ...kill],
  ],
];

const late = { kind: "late" };
const illegal = { kind: "illegal" };
const refusals: [name: string, from: State, event: Event, rejection: object][] = [
  ["start of one that is up", ready(), { kind: "start" }, illegal],
  ["start of one that is draining", draining("stop"), { kind: "start" }, illegal],
  ["stop of one at rest", stopped, { kind: "stop" }, late],
  [
    "hello before the pid",
    { ...starting, pid: 0 } as State,
    { kind: "hello", epoch, protocol },
    illegal,
  ],
  ["a second hello", loading, { kind: "hello", epoch, protocol }, illegal],
  ["progress before it is loaded", loading, { kind: "progressed", epoch, at }, illegal],
  [
    "work before it is loaded",
    loading,
    { kind: "pending", epoch, count: 1, preparing: 0, at },
    illegal,
  ],
  ["less than no work", ready(), { kind: "pending", epoch, count: -1, preparing: 0, at }, illegal],
  ["a second load", ready(), { kind: "loaded", epoch, at }, illegal],
  ["what it says while it is stopped", stopping("stop"), { kind: "progressed", epoch, at }, late],
  ["an exit seen twice", backoff, exited, late],
  [
    "an older incarnation",
    started,
    { kind: "progressed", epoch: 1, at },
    { kind: "stale", current: 2, got: 1 },
  ],
  ["an unborn incarnation", ready(), { kind: "progressed", epoch: 2, at }, illegal],
  ["a watchdog without work", ready(), timer("watchdog"), late],
  ["a timer of another state", ready(), timer("backoff"), late],
];

describe("Worker", () => {
  const check = (_: string, from: State, event: Event, to: State, effects: Effect[]) =>
    expect(accepted(transition(from, event))).toEqual({ ok: true, state: to, effects });

  describe("from start to work", () => {
    it.each(life)("%s", check);
  });
  describe("the watchdog", () => {
    it.each(watchdog)("%s", check);
  });
  it.each(refusals)("rejects %s", (_, from, event, rejection) => {
    expect(transition(from, event)).toEqual({ ok: false, rejection });
  });
});
