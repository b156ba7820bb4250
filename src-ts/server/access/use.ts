/** What one key has used: its rates, its budgets, its counts. Knows no request and no limit's name on the wire. */
import type { UsageRecord } from "../../keys/usage-file.js";

const minuteMs = 60_000;

/** So much a minute, and as much at once: what is used leaks away evenly. May be overdrawn, and is repaid then. */
export class Rate {
  private used = 0;
  private at = 0;

  /** At monotonic `now`. */
  usedOf(perMinute: number, now: number): number {
    this.used = Math.max(0, this.used - ((now - this.at) * perMinute) / minuteMs);
    this.at = now;
    return this.used;
  }

  take(amount: number, perMinute: number, now: number): void {
    this.used = this.usedOf(perMinute, now) + amount;
  }

  /** Ms until no more than `target` is used. */
  msUntil(target: number, perMinute: number, now: number): number {
    return (Math.max(0, this.usedOf(perMinute, now) - target) * minuteMs) / perMinute;
  }
}

export const dayOf = (wall: number): string => new Date(wall).toISOString().slice(0, 10);
export const monthOf = (wall: number): string => dayOf(wall).slice(0, 7);

export class Use {
  readonly requestRate = new Rate();
  readonly tokenRate = new Rate();
  /** Answers that are accepted and not over, and those that are about to be. */
  running = 0;
  entering = 0;
  readonly refused = new Map<string, number>();
  private readonly record: UsageRecord;

  constructor(before: UsageRecord | undefined) {
    this.record = {
      ...{ requests: 0, promptTokens: 0, completionTokens: 0, lastUsedAt: 0 },
      ...{ day: "", dayTokens: 0, month: "", monthTokens: 0 },
      ...before,
    };
  }

  get atOnce(): number {
    return this.running + this.entering;
  }

  get counts(): Readonly<UsageRecord> {
    return this.record;
  }

  get tokensTotal(): number {
    return this.record.promptTokens + this.record.completionTokens;
  }

  tokensOn(day: string): number {
    return this.record.day === day ? this.record.dayTokens : 0;
  }

  tokensIn(month: string): number {
    return this.record.month === month ? this.record.monthTokens : 0;
  }

  addRequest(wall: number): void {
    this.record.requests++;
    this.record.lastUsedAt = wall;
  }

  addTokens(prompt: number, completion: number, wall: number): void {
    const { record } = this;
    const [day, month] = [dayOf(wall), monthOf(wall)];
    record.dayTokens = this.tokensOn(day) + prompt + completion;
    record.monthTokens = this.tokensIn(month) + prompt + completion;
    Object.assign(record, { day, month });
    record.promptTokens += prompt;
    record.completionTokens += completion;
  }

  refuse(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }
}
