/**
 * Virtual time: what is due runs in order, one event at a time, and between two events everything that
 * the first one made necessary. Owners die, and with them whatever was theirs.
 */
import type { Clock, Timer } from "../../src-ts/engine/ports.js";

export interface Due extends Timer {
  at: number;
  order: number;
  owner: Owner | undefined;
  run: (() => void) | undefined;
}

/** A process: nothing of it happens after its death. */
export class Owner {
  alive = true;
}

export class Timeline {
  now = 0;
  events = 0;
  private order = 0;
  private readonly heap: Due[] = [];

  /** Runs after `ms`, unless its owner is dead by then. */
  after(ms: number, run: () => void, owner?: Owner): Due {
    const due: Due = {
      at: this.now + Math.max(0, ms),
      order: ++this.order,
      owner,
      run,
      cancel: () => {
        due.run = undefined;
      },
    };
    this.push(due);
    return due;
  }

  /** When the next event is due; undefined: never. */
  get nextAt(): number | undefined {
    this.dropDead();
    return this.heap[0]?.at;
  }

  /** Takes the next event and runs it; the caller lets the microtasks run. */
  step(): void {
    this.dropDead();
    const due = this.pop();
    if (due === undefined) return;
    this.now = Math.max(this.now, due.at);
    this.events++;
    const { run } = due;
    due.run = undefined;
    run?.();
  }

  private dropDead(): void {
    while (this.heap.length > 0) {
      const { run, owner } = this.heap[0]!;
      if (run !== undefined && owner?.alive !== false) return;
      this.pop();
    }
  }

  private push(due: Due): void {
    const { heap } = this;
    heap.push(due);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!isBefore(heap[i]!, heap[parent]!)) return;
      [heap[i], heap[parent]] = [heap[parent]!, heap[i]!];
      i = parent;
    }
  }

  private pop(): Due | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      const right = left + 1;
      let least = i;
      if (left < heap.length && isBefore(heap[left]!, heap[least]!)) least = left;
      if (right < heap.length && isBefore(heap[right]!, heap[least]!)) least = right;
      if (least === i) return first;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** The clock of one process. Its monotonic time begins anew with it; the wall's may jump. */
export class ProcessClock implements Clock {
  private readonly startedAt: number;

  constructor(
    private readonly timeline: Timeline,
    private readonly owner: Owner,
    private readonly wallOffset: () => number,
  ) {
    this.startedAt = timeline.now;
  }

  now(): number {
    return this.timeline.now - this.startedAt;
  }

  wall(): number {
    return 1_700_000_000_000 + this.timeline.now + this.wallOffset();
  }

  after(ms: number, run: () => void): Timer {
    return this.timeline.after(ms, run, this.owner);
  }

  soon(run: () => void): void {
    queueMicrotask(() => {
      if (this.owner.alive) run();
    });
  }
}

/** Lets every microtask run that is waiting. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
