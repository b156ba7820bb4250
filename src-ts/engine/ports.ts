/** What the engine takes from outside: time, ids, chance and worker processes. A simulator brings its own. */
import type { FromWorker, LoadOptions, ModelSource, ToWorker } from "../worker/messages.js";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds; the only time that logic may look at. */
  now(): number;
  /** Wall-clock milliseconds; for people only. */
  wall(): number;
  after(ms: number, run: () => void): Timer;
  /** Runs when the current turn is over and before anything else comes in. */
  soon(run: () => void): void;
}

export interface Ids {
  /** `prefix_` and at least 96 random bits. */
  response(prefix: string): string;
}

/** What happens to one process, told in order; nothing comes after `exited`. */
export interface WorkerEvents {
  spawned(pid: number): void;
  message(message: FromWorker): void;
  /** The link broke a rule; nothing more will be read from it. */
  violated(reason: string): void;
  /** The link was closed by the other side. */
  closed(): void;
  /** `code` −1: it could not be spawned. */
  exited(code: number, signal: string, message: string): void;
}

export interface WorkerProcess {
  send(message: ToWorker): void;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface WorkerSpec {
  workerId: string;
  epoch: number;
  engine: "mlx" | "fake";
  model: ModelSource;
}

export interface WorkerPort {
  /** Never throws: a failure is an `exited` that comes later. */
  spawn(spec: WorkerSpec, events: WorkerEvents): WorkerProcess;
}

export interface Ports {
  clock: Clock;
  ids: Ids;
  /** 0 ≤ x < 1. */
  random(): number;
  workers: WorkerPort;
}

export type { LoadOptions, ModelSource };
