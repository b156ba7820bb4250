/**
 * Kills the worker again and again while there is work. A kill is due so long after the one before. It waits until
 * the worker that took over has worked as long as it took to come back: else a slow machine would do nothing but load
 * and read prompts, and each request would count deaths that teach nothing. `ended`, how many requests have: it waits
 * for one more too. Of prompts that take longer than the time between two kills, each would fail otherwise.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ServerProcess, Worker } from "../e2e/support/server.js";

const lookEveryMs = 100;
/** Of the time between two kills. */
const jitter = 0.1;

interface Chance {
  between(min: number, max: number): number;
}

export class Killer {
  kills = 0;
  /** How long after the time at which they were due. */
  readonly #lateMs: number[] = [];

  constructor(
    private readonly server: ServerProcess,
    private readonly everyMs: number,
    private readonly chance: Chance,
    private readonly ended: () => number = () => Number.NaN,
  ) {}

  async until(isOver: () => boolean): Promise<void> {
    let taken: Takeover | undefined;
    let killedAt = performance.now();
    for (let dueAt = this.#nextDue(); !isOver(); ) {
      await sleep(lookEveryMs);
      const worker = await this.server.worker();
      if (taken?.epoch !== worker.epoch) taken = new Takeover(worker.epoch, killedAt, this.ended());
      const hasWorked = taken.hasWorked(worker) && !(this.ended() <= taken.endedBefore);
      const now = performance.now();
      if (now < dueAt || !hasWorked || worker.running === 0 || worker.pid === undefined) continue;
      process.kill(worker.pid, "SIGKILL");
      this.kills++;
      this.#lateMs.push(now - dueAt);
      killedAt = now;
      dueAt = this.#nextDue();
    }
  }

  #nextDue(): number {
    return performance.now() + this.everyMs * this.chance.between(1 - jitter, 1 + jitter);
  }

  figures() {
    const late = this.#lateMs.toSorted((a, b) => a - b);
    const seconds = (ms = 0) => Math.round(ms / 100) / 10;
    return {
      kills: this.kills,
      waitedMedianS: seconds(late[Math.floor(late.length / 2)]),
      waitedMaxS: seconds(late.at(-1)),
    };
  }
}

/** A worker's life since the death before it: how long it took until it decoded, and how long it has since. */
class Takeover {
  #workingSince: number | undefined;

  constructor(
    readonly epoch: number,
    private readonly killedAt: number,
    readonly endedBefore: number,
  ) {}

  hasWorked({ decoding }: Worker): boolean {
    const now = performance.now();
    if (decoding > 0) this.#workingSince ??= now;
    const since = this.#workingSince;
    return since !== undefined && now - since >= since - this.killedAt;
  }
}
