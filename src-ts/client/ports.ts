/**
 * What the client takes from outside: sockets, time and chance. `platform.ts` has the real ones; a
 * simulator brings its own and drives the same client under virtual time.
 */
import type { OpenSocket } from "./socket.js";

export interface Timer {
  cancel(): void;
}

export interface ClientPorts {
  openSocket: OpenSocket;
  /** Browsers' sockets send no headers of ours. */
  headersSupported: boolean;
  /** Monotonic milliseconds; the only time that the client looks at. */
  now(): number;
  after(ms: number, run: () => void): Timer;
  /** 0 ≤ x < 1. Idempotency keys are made of it: two clients must not draw the same. */
  random(): number;
}
