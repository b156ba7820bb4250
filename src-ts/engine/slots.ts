/** Which worker runs which request, by slot. An id is given once: frames of older slots find nothing. */
import type { Slot } from "./request.js";

export class Slots {
  private readonly byId = new Map<number, Slot>();
  private readonly byWorker = new Map<string, Set<Slot>>();
  private newest = 0;

  nextId(): number {
    this.newest = (this.newest + 1) >>> 0;
    return this.newest;
  }

  add(slot: Slot): void {
    this.byId.set(slot.id, slot);
    const held = this.byWorker.get(slot.workerId);
    if (held === undefined) this.byWorker.set(slot.workerId, new Set([slot]));
    else held.add(slot);
  }

  delete(slot: Slot): void {
    this.byId.delete(slot.id);
    this.byWorker.get(slot.workerId)?.delete(slot);
  }

  get(id: number): Slot | undefined {
    return this.byId.get(id);
  }

  of(workerId: string): ReadonlySet<Slot> {
    return this.byWorker.get(workerId) ?? none;
  }
}

const none: ReadonlySet<Slot> = new Set();
