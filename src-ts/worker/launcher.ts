/**
 * A worker as the engine sees it, in two parts that need not be on one machine: a launcher starts, signals and
 * watches its process; a link carries messages to it and back. Real ones: `process.ts`, `stream-link.ts`;
 * simulated ones in tests.
 */
import type { FromWorker, ModelSource, ToWorker } from "./messages.js";

/** What happens to a process, in order; nothing comes after `exited`. */
export interface ProcessEvents {
  /** Undefined where there is no process of this machine to be named. */
  spawned(pid: number | undefined): void;
  /** `code` −1: it could not be started. */
  exited(code: number, signal: string, message: string): void;
}

/** What comes over a link, in order. */
export interface LinkEvents {
  message(message: FromWorker): void;
  /** So many frames of another epoch have come and were dropped. */
  stale(frames: number): void;
  /** The link broke a rule; nothing more will be read from it. */
  violated(reason: string): void;
  /** The link was closed by the other side. */
  closed(): void;
}

export interface Link {
  /** What a closed link is given is dropped. Throws UnsendableMessage. */
  send(message: ToWorker): void;
}

export interface LaunchedProcess {
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export interface Launched {
  process: LaunchedProcess;
  link: Link;
}

export interface LaunchSpec {
  workerId: string;
  epoch: number;
  engine: "mlx" | "fake";
  model: ModelSource;
  /** False: native parts have killed it before, and it is to use none. */
  native: boolean;
}

export interface Launcher {
  /** Never throws: a failure is an `exited` that comes later. */
  launch(spec: LaunchSpec, process: ProcessEvents, link: LinkEvents): Launched;
}
