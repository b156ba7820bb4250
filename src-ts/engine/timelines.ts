/**
 * What became of the requests that live and of those that ended last: their transitions, each with its time, read
 * off the orchestrator's commands. Bounded. Knows no prompt, no text and no token value.
 */
import type { Command } from "../machines/Orchestrator.js";
import type { Timeline, Transition } from "./live.js";
import type { Clock } from "./ports.js";

/** Ended requests that are remembered. */
const endedMax = 512;
/** Transitions of one request; of those past it the last one alone is kept. */
const transitionsMax = 64;

interface Kept {
  arrivedAtMs: number;
  /** Monotonic, as `arrivedAt`. */
  arrivedAt: number;
  model: string;
  priority: string;
  attempts: number;
  emitted: number;
  omitted: number;
  transitions: Transition[];
}

interface Slot {
  requestId: string;
  workerId: string;
  kept: Kept | undefined;
  decoding: boolean;
}

type Event = Omit<Transition, "afterMs">;

export class Timelines {
  private readonly live = new Map<string, Kept>();
  private readonly ended = new Map<string, Kept>();
  private readonly slots = new Map<number, Slot>();

  constructor(private readonly clock: Clock) {}

  arrived(id: string, model: string, priority: string): void {
    const arrivedAt = this.clock.now();
    const begun = {
      arrivedAtMs: this.clock.wall(),
      arrivedAt,
      attempts: 0,
      emitted: 0,
      omitted: 0,
    };
    this.live.set(id, { ...begun, model, priority, transitions: [] });
    this.note(id, { event: "arrived" });
  }

  /** How often it was given to a worker. */
  attemptsOf(id: string): number {
    return this.live.get(id)?.attempts ?? 0;
  }

  get(id: string): Timeline | undefined {
    const kept = this.live.get(id) ?? this.ended.get(id);
    return kept && seen(id, kept, this.live.has(id));
  }

  /** Those that ended last, the newest first. */
  recent(count: number): Timeline[] {
    return [...this.ended]
      .slice(-count)
      .reverse()
      .map(([id, kept]) => seen(id, kept, false));
  }

  /** Called for every command; what happens once a token must stay cheap. */
  take(command: Command): void {
    switch (command.kind) {
      case "append":
        return this.appended(command.slot, command.count);
      case "prepare":
        return this.note(command.requestId, { event: "preparing", workerId: command.workerId });
      case "size":
        return this.note(command.requestId, {
          event: "prepared",
          promptTokens: command.cost.promptTokens,
        });
      case "store":
        return this.note(command.requestId, { event: "storing" });
      case "accept":
        return this.note(command.requestId, { event: "accepted" });
      case "queued":
        return this.note(command.requestId, { event: "queued" });
      case "lease":
        return this.leased(command);
      case "cached":
        return this.note(command.requestId, {
          event: "prefilling",
          cachedTokens: command.tokens,
        });
      case "abort":
        return this.aborting(command.slot);
      case "release":
        this.slots.delete(command.slot);
        return;
      case "migrated": {
        const { requestId, attempt, loss: reason } = command;
        return this.note(requestId, { event: "migrated", attempt, reason });
      }
      case "interrupt":
        return this.end(command.requestId, { event: "interrupted" });
      case "close": {
        const { finish } = command;
        const code = finish.kind === "failed" ? finish.code : undefined;
        const event: Event = { event: "ended", finish: finish.kind, ...(code && { code }) };
        return this.end(command.requestId, event);
      }
      case "turnAway": {
        const reason = command.explanation.kind;
        return this.end(command.requestId, { event: "turnedAway", reason });
      }
    }
  }

  private leased({ requestId, workerId, slot }: Extract<Command, { kind: "lease" }>): void {
    const kept = this.live.get(requestId);
    this.slots.set(slot, { requestId, workerId, kept, decoding: false });
    if (kept === undefined) return;
    kept.attempts++;
    this.note(requestId, { event: "dispatched", workerId, attempt: kept.attempts });
  }

  private appended(id: number, count: number): void {
    const slot = this.slots.get(id);
    if (slot?.kept === undefined) return;
    slot.kept.emitted += count;
    if (slot.decoding) return;
    slot.decoding = true;
    this.note(slot.requestId, { event: "decoding", workerId: slot.workerId });
  }

  private aborting(id: number): void {
    const slot = this.slots.get(id);
    if (slot === undefined) return;
    this.note(slot.requestId, { event: "cancelling", workerId: slot.workerId });
  }

  private note(id: string, event: Event): void {
    const kept = this.live.get(id);
    if (kept === undefined) return;
    const { transitions, arrivedAt } = kept;
    if (transitions.length >= transitionsMax) {
      transitions.pop();
      kept.omitted++;
    }
    transitions.push({ ...event, afterMs: Math.round((this.clock.now() - arrivedAt) * 10) / 10 });
  }

  private end(id: string, event: Event): void {
    this.note(id, event);
    const kept = this.live.get(id);
    if (kept === undefined) return;
    this.live.delete(id);
    this.ended.set(id, kept);
    if (this.ended.size <= endedMax) return;
    const [oldest] = this.ended.keys();
    this.ended.delete(oldest!);
  }
}

function seen(id: string, kept: Kept, live: boolean): Timeline {
  const { arrivedAtMs, model, priority, emitted, omitted, transitions } = kept;
  return {
    id,
    model,
    priority,
    arrivedAtMs,
    live,
    emitted,
    omitted,
    transitions: [...transitions],
  };
}
