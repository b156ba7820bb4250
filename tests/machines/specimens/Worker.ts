import type { Event, Liveness, Memory, State } from "../../../src-ts/machines/Worker.js";
import { defaultPolicy as policy, protocol } from "../../../src-ts/machines/Worker.js";
import { type Specimens, specimen } from "../support.js";

const epoch = 3;
const memory: Memory = { policy, epoch, deaths: [], deathsWithoutProgress: [] };
/** One more death, fruitful or not, opens the circuit. */
const doomed: Memory = {
  ...memory,
  deaths: Array.from({ length: policy.deathsMax - 1 }, () => 99_000),
  deathsWithoutProgress: Array.from({ length: policy.deathsWithoutProgressMax - 1 }, () => 99_000),
};
const idle: Liveness = {
  pid: 42,
  progressed: true,
  pending: 0,
  preparing: 0,
  quietSince: 90_000,
  allowanceMs: 0,
};
const fresh: Liveness = { ...idle, progressed: false };
const at = 100_000;
const working: Liveness = { ...idle, pending: 2, quietSince: at - 1_000 };
const quiet: Liveness = { ...working, quietSince: at - policy.suspectMs };
const stalled: Liveness = { ...working, quietSince: at - policy.stallMs };
/** Somebody else answers for its death. */
const preparing: Liveness = { ...fresh, pending: 2, preparing: 1, quietSince: 99_000 };
const since = at - 2_000;
const pid = 42;

export const states: Specimens<State> = {
  stopped: [specimen({ kind: "stopped", memory })],
  starting: [
    specimen({ kind: "starting", memory, pid: 0 }, "pid unknown"),
    specimen({ kind: "starting", memory, pid }, "pid known"),
    specimen({ kind: "starting", memory: doomed, pid }, "pid known, last chance"),
  ],
  loading: [
    specimen({ kind: "loading", memory, pid, done: 1, total: 2 }, "more chances"),
    specimen({ kind: "loading", memory: doomed, pid, done: 1, total: 2 }, "last chance"),
  ],
  ready: [
    specimen({ kind: "ready", memory, liveness: idle }, "idle"),
    specimen({ kind: "ready", memory, liveness: fresh }, "idle, nothing done yet"),
    specimen({ kind: "ready", memory, liveness: working }, "working"),
    specimen({ kind: "ready", memory, liveness: quiet }, "quiet for suspectMs"),
    specimen({ kind: "ready", memory, liveness: stalled }, "quiet for stallMs"),
    specimen({ kind: "ready", memory: doomed, liveness: idle }, "idle, last chance"),
    specimen({ kind: "ready", memory: doomed, liveness: preparing }, "preparing, last chance"),
  ],
  suspect: [
    specimen({ kind: "suspect", memory, liveness: quiet, since }, "quiet for suspectMs"),
    specimen({ kind: "suspect", memory, liveness: stalled, since }, "quiet for stallMs"),
    specimen(
      { kind: "suspect", memory, liveness: { ...quiet, progressed: false }, since },
      "nothing done yet",
    ),
    specimen({ kind: "suspect", memory: doomed, liveness: quiet, since }, "last chance"),
  ],
  draining: [
    specimen({ kind: "draining", memory, liveness: working, intent: "stop" }, "to stop"),
    specimen({ kind: "draining", memory, liveness: working, intent: "restart" }, "to restart"),
    specimen(
      { kind: "draining", memory, liveness: stalled, intent: "restart" },
      "to restart, quiet for stallMs",
    ),
    specimen(
      {
        kind: "draining",
        memory,
        liveness: { ...working, progressed: false },
        intent: "restart",
      },
      "to restart, nothing done yet",
    ),
    specimen(
      { kind: "draining", memory: doomed, liveness: working, intent: "restart" },
      "to restart, last chance",
    ),
  ],
  stopping: [
    specimen(
      {
        kind: "stopping",
        memory,
        pid: 0,
        intent: "stop",
        fault: "stopped",
        progressed: false,
        excused: false,
      },
      "to stop, pid unknown",
    ),
    specimen(
      {
        kind: "stopping",
        memory,
        pid,
        intent: "stop",
        fault: "stopped",
        progressed: true,
        excused: false,
      },
      "to stop",
    ),
    specimen(
      {
        kind: "stopping",
        memory,
        pid,
        intent: "restart",
        fault: "stopped",
        progressed: true,
        excused: false,
      },
      "to restart, ordered",
    ),
    specimen(
      {
        kind: "stopping",
        memory,
        pid,
        intent: "restart",
        fault: "stalled",
        progressed: true,
        excused: false,
      },
      "to restart, after a fault and progress",
    ),
    specimen(
      {
        kind: "stopping",
        memory,
        pid,
        intent: "restart",
        fault: "loadFailed",
        progressed: false,
        excused: false,
      },
      "to restart, after a fault without progress",
    ),
    specimen(
      {
        kind: "stopping",
        memory: doomed,
        pid,
        intent: "restart",
        fault: "stalled",
        progressed: true,
        excused: false,
      },
      "to restart, after a fault, last chance",
    ),
    specimen(
      {
        kind: "stopping",
        memory: doomed,
        pid,
        intent: "restart",
        fault: "stalled",
        progressed: false,
        excused: true,
      },
      "to restart, after a fault while preparing, last chance",
    ),
  ],
  backoff: [specimen({ kind: "backoff", memory, attempt: 1, until: at + 100 })],
  broken: [specimen({ kind: "broken", memory: doomed, reason: "exited", since })],
};

const older = epoch - 1;
const gone = { kind: "exited", epoch, code: 1, signal: "", at, jitter: 0.5 } as const;

export const events: Specimens<Event> = {
  start: [specimen({ kind: "start" })],
  stop: [specimen({ kind: "stop" })],
  restart: [specimen({ kind: "restart" })],
  drain: [
    specimen({ kind: "drain", intent: "stop" }, "to stop"),
    specimen({ kind: "drain", intent: "restart" }, "to restart"),
  ],
  spawned: [
    specimen({ kind: "spawned", epoch, pid }, "this epoch"),
    specimen({ kind: "spawned", epoch: older, pid }, "older epoch"),
    specimen({ kind: "spawned", epoch: epoch + 1, pid }, "unborn epoch"),
  ],
  exited: [specimen(gone, "this epoch"), specimen({ ...gone, epoch: older }, "older epoch")],
  hello: [
    specimen({ kind: "hello", epoch, protocol }, "our protocol"),
    specimen({ kind: "hello", epoch, protocol: protocol + 1 }, "another protocol"),
    specimen({ kind: "hello", epoch: older, protocol }, "older epoch"),
  ],
  loadProgress: [
    specimen({ kind: "loadProgress", epoch, done: 2, total: 2 }, "this epoch"),
    specimen({ kind: "loadProgress", epoch: older, done: 2, total: 2 }, "older epoch"),
  ],
  loaded: [
    specimen({ kind: "loaded", epoch, at }, "this epoch"),
    specimen({ kind: "loaded", epoch: older, at }, "older epoch"),
  ],
  loadFailed: [
    specimen({ kind: "loadFailed", epoch }, "this epoch"),
    specimen({ kind: "loadFailed", epoch: older }, "older epoch"),
  ],
  outOfMemory: [
    specimen({ kind: "outOfMemory", epoch }, "this epoch"),
    specimen({ kind: "outOfMemory", epoch: older }, "older epoch"),
  ],
  progressed: [
    specimen({ kind: "progressed", epoch, at }, "this epoch"),
    specimen({ kind: "progressed", epoch: older, at }, "older epoch"),
  ],
  busy: [
    specimen({ kind: "busy", epoch, allowanceMs: 30_000, at }, "this epoch"),
    specimen({ kind: "busy", epoch: older, allowanceMs: 30_000, at }, "older epoch"),
  ],
  violated: [
    specimen({ kind: "violated", epoch }, "this epoch"),
    specimen({ kind: "violated", epoch: older }, "older epoch"),
  ],
  closed: [
    specimen({ kind: "closed", epoch }, "this epoch"),
    specimen({ kind: "closed", epoch: older }, "older epoch"),
  ],
  pending: [
    specimen({ kind: "pending", epoch, count: 3, preparing: 1, at }, "some"),
    specimen({ kind: "pending", epoch, count: 0, preparing: 0, at }, "none"),
    specimen({ kind: "pending", epoch, count: 1, preparing: 2, at }, "fewer than it prepares"),
    specimen({ kind: "pending", epoch, count: -1, preparing: -1, at }, "below zero"),
    specimen({ kind: "pending", epoch: older, count: 1, preparing: 0, at }, "older epoch"),
  ],
  timer: [
    specimen({ kind: "timer", timer: "hello", at }, "hello"),
    specimen({ kind: "timer", timer: "load", at }, "load"),
    specimen({ kind: "timer", timer: "watchdog", at }, "watchdog"),
    specimen({ kind: "timer", timer: "stop", at }, "stop"),
    specimen({ kind: "timer", timer: "drain", at }, "drain"),
    specimen({ kind: "timer", timer: "backoff", at }, "backoff"),
    specimen({ kind: "timer", timer: "probe", at }, "probe"),
  ],
};
