/** The real clock, ids and chance. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Ids, Timer } from "./ports.js";

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => (ms > 0 ? new LongTimer(ms, run) : new Immediate(run)),
  soon: queueMicrotask,
};

/** What Node's timers can't wait longer than; past it they fire at once. */
const timerMsMax = 2 ** 31 - 1;

/** Node's shortest timer is a millisecond. */
class Immediate implements Timer {
  private readonly immediate: NodeJS.Immediate;

  constructor(run: () => void) {
    this.immediate = setImmediate(run);
  }

  cancel(): void {
    clearImmediate(this.immediate);
  }
}

class LongTimer implements Timer {
  private timer: NodeJS.Timeout;

  constructor(
    private leftMs: number,
    private readonly run: () => void,
  ) {
    this.timer = this.wait();
  }

  cancel(): void {
    clearTimeout(this.timer);
  }

  private wait(): NodeJS.Timeout {
    const ms = Math.min(this.leftMs, timerMsMax);
    this.leftMs -= ms;
    return setTimeout(() => {
      if (this.leftMs > 0) this.timer = this.wait();
      else this.run();
    }, ms);
  }
}

export const systemIds: Ids = {
  response: (prefix) => `${prefix}_${randomBytes(18).toString("hex")}`,
};
