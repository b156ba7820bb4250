/** States, effects and events of a Worker for its tables, all at one moment of one incarnation. */
import type {
  Effect,
  Event,
  Fault,
  Intent,
  Liveness,
  Memory,
  State,
  Timer,
} from "../../src-ts/machines/Worker.js";
import { defaultPolicy } from "../../src-ts/machines/Worker.js";

export const policy = defaultPolicy;
export const epoch = 1;
export const pid = 42;
export const at = 100_000;
export const memory: Memory = { policy, epoch, deaths: [], deathsWithoutProgress: [] };
export const liveness = (more: Partial<Liveness> = {}): Liveness => ({
  pid,
  progressed: true,
  pending: 0,
  preparing: 0,
  quietSince: at,
  allowanceMs: 0,
  ...more,
});
export const ready = (more: Partial<Liveness> = {}): State => ({
  kind: "ready",
  memory,
  liveness: liveness(more),
});
export const suspect = (more: Partial<Liveness> = {}): State => ({
  kind: "suspect",
  memory,
  liveness: liveness({ pending: 1, ...more }),
  since: at,
});
export const draining = (intent: Intent, more: Partial<Liveness> = {}): State => ({
  kind: "draining",
  memory,
  liveness: liveness({ pending: 1, ...more }),
  intent,
});
export const stopping = (
  intent: Intent,
  fault: Fault = "stopped",
  progressed = true,
  excused = false,
): State => ({
  kind: "stopping",
  memory,
  pid,
  intent,
  fault,
  progressed,
  excused,
});
export const starting: State = { kind: "starting", memory, pid };
export const loading: State = { kind: "loading", memory, pid, done: 0, total: 0 };
export const stopped: State = { kind: "stopped", memory };
export const backoff: State = { kind: "backoff", memory, attempt: 0, until: at };
export const broken: State = { kind: "broken", memory, reason: "exited", since: at };
export const started: State = { kind: "starting", memory: { ...memory, epoch: 2 }, pid: 0 };

export const arm = (timer: Timer, ms: number): Effect => ({ kind: "arm", timer, ms });
export const disarm = (timer: Timer): Effect => ({ kind: "disarm", timer });
export const spawn: Effect[] = [{ kind: "spawn", epoch: 2 }, arm("hello", policy.helloMs)];
export const kill: Effect[] = [
  { kind: "kill", epoch, signal: "SIGKILL" },
  arm("stop", policy.stopGraceMs),
];
export const ask: Effect[] = [{ kind: "askStop", epoch }, arm("stop", policy.stopGraceMs)];
export const available: Effect = { kind: "available" };
export const unavailable: Effect = { kind: "unavailable" };
export const lose = (fault: Fault): Effect => ({ kind: "lose", epoch, fault });
export const report = (fault: Fault): Effect => ({ kind: "report", fault, fatal: false });

export const timer = (timer: Timer): Event => ({ kind: "timer", timer, at });
export const exited: Event = { kind: "exited", epoch, code: 1, signal: "", at, jitter: 0.5 };
export const died = (deathsWithoutProgress: number[] = [at]): Memory => ({
  ...memory,
  deaths: [at],
  deathsWithoutProgress,
});
export const pause = 0.5 * policy.backoffMinMs;

/** One line of a table: from this state, on this event, to that state, with these orders. */
export type Row = [name: string, from: State, event: Event, to: State, effects: Effect[]];

/** The timers that each state needs, no more and no less. */
export function timersOf(state: State): Timer[] {
  switch (state.kind) {
    case "stopped":
      return [];
    case "starting":
      return ["hello"];
    case "loading":
      return ["load"];
    case "ready":
      return state.liveness.pending > 0 ? ["watchdog"] : [];
    case "suspect":
      return ["watchdog"];
    case "draining":
      return ["drain", "watchdog"];
    case "stopping":
      return ["stop"];
    case "backoff":
      return ["backoff"];
    case "broken":
      return ["probe"];
  }
}
