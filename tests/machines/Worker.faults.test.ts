import { describe, expect, it } from "vitest";
import type { Effect, Event, State } from "../../src-ts/machines/Worker.js";
import { protocol, transition } from "../../src-ts/machines/Worker.js";
import { accepted } from "./support.js";
import {
  arm,
  ask,
  at,
  backoff,
  broken,
  died,
  disarm,
  draining,
  epoch,
  exited,
  kill,
  loading,
  lose,
  memory,
  pause,
  policy,
  type Row,
  ready,
  report,
  spawn,
  started,
  starting,
  stopped,
  stopping,
  suspect,
  timer,
  unavailable,
} from "./Worker.fixtures.js";

const faults: Row[] = [
  [
    "no hello in time",
    starting,
    timer("hello"),
    stopping("restart", "helloTimeout", false),
    [disarm("hello"), ...kill],
  ],
  [
    "another protocol",
    starting,
    { kind: "hello", epoch, protocol: protocol + 1 },
    stopping("restart", "protocolMismatch", false),
    [disarm("hello"), ...kill],
  ],
  [
    "no load progress in time",
    loading,
    timer("load"),
    stopping("restart", "loadStalled", false),
    [disarm("load"), ...kill],
  ],
  [
    "a model that cannot be loaded",
    loading,
    { kind: "loadFailed", epoch },
    stopping("restart", "loadFailed", false),
    [disarm("load"), ...ask],
  ],
  [
    "a broken link loses what was leased, at once",
    ready({ pending: 1 }),
    { kind: "violated", epoch },
    stopping("restart", "linkViolated"),
    [unavailable, disarm("watchdog"), lose("linkViolated"), ...kill],
  ],
  [
    "a closed link too",
    suspect(),
    { kind: "closed", epoch },
    stopping("restart", "linkClosed"),
    [disarm("watchdog"), lose("linkClosed"), ...kill],
  ],
  [
    "and a worker out of memory",
    ready(),
    { kind: "outOfMemory", epoch },
    stopping("restart", "outOfMemory"),
    [unavailable, lose("outOfMemory"), ...kill],
  ],
  [
    "a link broken before it was ready loses nothing",
    loading,
    { kind: "closed", epoch },
    stopping("restart", "linkClosed", false),
    [disarm("load"), ...kill],
  ],
  [
    "a death after progress restarts at once",
    ready({ pending: 1 }),
    exited,
    { ...started, memory: { ...died([]), epoch: 2 } } as State,
    [unavailable, disarm("watchdog"), lose("exited"), report("exited"), ...spawn],
  ],
  [
    "a death without progress backs off",
    ready({ progressed: false }),
    exited,
    { kind: "backoff", memory: died(), attempt: 0, until: at + pause },
    [unavailable, lose("exited"), report("exited"), arm("backoff", pause)],
  ],
  [
    "a spawn that fails is one",
    { kind: "starting", memory, pid: 0 },
    { ...exited, code: -1 } as Event,
    { kind: "backoff", memory: died(), attempt: 0, until: at + pause },
    [disarm("hello"), report("exited"), arm("backoff", pause)],
  ],
  [
    "what was lost already is not lost again",
    stopping("restart", "stalled"),
    exited,
    { ...started, memory: { ...died([]), epoch: 2 } } as State,
    [disarm("stop"), report("stalled"), ...spawn],
  ],
  [
    "a model that cannot be loaded is a death without progress",
    stopping("restart", "loadFailed", false),
    exited,
    { kind: "backoff", memory: died(), attempt: 0, until: at + pause },
    [disarm("stop"), report("loadFailed"), arm("backoff", pause)],
  ],
  [
    "a death while draining to rest is the end of it",
    draining("stop"),
    exited,
    stopped,
    [disarm("drain"), disarm("watchdog"), lose("exited")],
  ],
  [
    "a death while draining to restart restarts",
    draining("restart"),
    exited,
    { ...started, memory: { ...died([]), epoch: 2 } } as State,
    [disarm("drain"), disarm("watchdog"), lose("exited"), report("exited"), ...spawn],
  ],
  ["the backoff ends", backoff, timer("backoff"), started, [disarm("backoff"), ...spawn]],
  ["a broken one is probed", broken, timer("probe"), started, [disarm("probe"), ...spawn]],
];

const orders: Row[] = [
  [
    "stop while starting",
    starting,
    { kind: "stop" },
    stopping("stop", "stopped", false),
    [disarm("hello"), ...ask],
  ],
  [
    "stop while working loses what is leased",
    ready({ pending: 1 }),
    { kind: "stop" },
    stopping("stop"),
    [unavailable, disarm("watchdog"), lose("stopped"), ...ask],
  ],
  [
    "stop while draining",
    draining("restart"),
    { kind: "stop" },
    stopping("stop"),
    [disarm("drain"), disarm("watchdog"), lose("stopped"), ...ask],
  ],
  ["stop in the backoff", backoff, { kind: "stop" }, stopped, [disarm("backoff")]],
  ["stop of a broken one", broken, { kind: "stop" }, stopped, [disarm("probe")]],
  ["who does not stop is killed", stopping("stop"), timer("stop"), stopping("stop"), kill],
  ["it is gone", stopping("stop"), exited, stopped, [disarm("stop")]],
  [
    "restart is a stop that starts again",
    ready(),
    { kind: "restart" },
    stopping("restart"),
    [unavailable, lose("stopped"), ...ask],
  ],
  [
    "an ordered restart is no death",
    stopping("restart"),
    exited,
    started,
    [disarm("stop"), ...spawn],
  ],
  ["restart of one at rest starts it", stopped, { kind: "restart" }, started, spawn],
  [
    "start of a broken one begins at once",
    broken,
    { kind: "start" },
    started,
    [disarm("probe"), ...spawn],
  ],
  [
    "drain of an idle one stops it",
    ready(),
    { kind: "drain", intent: "stop" },
    stopping("stop"),
    [unavailable, lose("stopped"), ...ask],
  ],
  [
    "drain lets work finish",
    ready({ pending: 1 }),
    { kind: "drain", intent: "restart" },
    draining("restart"),
    [unavailable, { kind: "finishWork" }, arm("drain", policy.drainMs)],
  ],
  [
    "drained: stopped",
    draining("restart"),
    { kind: "pending", epoch, count: 0, preparing: 0, at },
    stopping("restart"),
    [disarm("drain"), disarm("watchdog"), lose("stopped"), ...ask],
  ],
  [
    "drained too long: stopped all the same",
    draining("stop"),
    timer("drain"),
    stopping("stop"),
    [disarm("drain"), disarm("watchdog"), lose("stopped"), ...ask],
  ],
  [
    "a start while stopping is a restart",
    stopping("stop"),
    { kind: "start" },
    stopping("restart"),
    [],
  ],
  [
    "a stop while restarting is a stop",
    stopping("restart"),
    { kind: "stop" },
    stopping("stop"),
    [],
  ],
];

describe("Worker", () => {
  const check = (_: string, from: State, event: Event, to: State, effects: Effect[]) =>
    expect(accepted(transition(from, event))).toEqual({ ok: true, state: to, effects });

  describe("faults", () => {
    it.each(faults)("%s", check);
  });
  describe("orders", () => {
    it.each(orders)("%s", check);
  });
});
