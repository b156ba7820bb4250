/** What the engine takes from outside: time, ids, chance and how workers are launched. A simulator brings its own. */
import type { Launcher } from "../worker/launcher.js";
import type { Journal } from "./journal.js";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds; the only time that logic may look at. */
  now(): number;
  /** Wall-clock milliseconds; for people only. */
  wall(): number;
  /** 0: when what has come in was heard. */
  after(ms: number, run: () => void): Timer;
  /** Runs when the current turn is over and before anything else comes in. */
  soon(run: () => void): void;
}

export interface Ids {
  /** `prefix_` and at least 96 random bits. */
  response(prefix: string): string;
}

export interface Ports {
  clock: Clock;
  ids: Ids;
  /** 0 ≤ x < 1. */
  random(): number;
  launcher: Launcher;
  /** Where stored responses outlive this process; without one they are kept in memory. */
  journal?: Journal | undefined;
}
