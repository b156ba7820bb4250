/** Worker processes as the engine sees them: real ones in `process.ts`, simulated ones in tests. */
import type { FromWorker, ModelSource, ToWorker } from "./messages.js";

/** What happens to one process, told in order; nothing comes after `exited`. */
export interface WorkerEvents {
  spawned(pid: number): void;
  message(message: FromWorker): void;
  /** So many frames of another epoch have come and were dropped. */
  stale(frames: number): void;
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
  /** False: native parts have killed it before, and it is to use none. */
  native: boolean;
}

export interface WorkerPort {
  /** Never throws: a failure is an `exited` that comes later. */
  spawn(spec: WorkerSpec, events: WorkerEvents): WorkerProcess;
}
