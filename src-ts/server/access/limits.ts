/**
 * Whether a key may have one request more, and what each has used. Requests are counted when they are taken, tokens
 * when their response has ended: what runs already may use more than is left.
 */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { KeyEntry, LimitName } from "../../keys/entry.js";
import type { UsageRecords, UsageStore } from "../../keys/usage-file.js";
import { dayOf, monthOf, Use } from "./use.js";

const saveEveryMs = 5_000;
/** Keys that are in no file any more, and what they have used: they may come back. */
const rememberedMax = 1_000;

export interface LimitClock {
  /** Monotonic ms. */
  now(): number;
  /** Wall-clock ms. */
  wall(): number;
}

const systemClock: LimitClock = { now: () => performance.now(), wall: () => Date.now() };

/** What a limit is called in the file, and in a sentence. */
export const limitWords: Readonly<Record<LimitName, { field: string; words: string }>> = {
  requestsPerMinute: { field: "requests-per-minute", words: "requests per minute" },
  tokensPerMinute: { field: "tokens-per-minute", words: "tokens per minute" },
  concurrency: { field: "concurrency", words: "answers at once" },
  tokensPerDay: { field: "tokens-per-day", words: "tokens per day" },
  tokensPerMonth: { field: "tokens-per-month", words: "tokens per month" },
  tokensTotal: { field: "tokens-total", words: "tokens in all" },
};

/** What is left of a rate, and when all of it is there again. */
export interface RateState {
  limit: number;
  remaining: number;
  resetMs: number;
}

const budgets = ["tokensTotal", "tokensPerMonth", "tokensPerDay"] as const;
type Budget = (typeof budgets)[number];

/** Where nobody but an operator gives more. */
const neverS = 86_400;

export class Limits {
  private readonly uses = new Map<string, Use>();
  private restored: UsageRecords = new Map();
  private dirty = false;
  private saving: Promise<void> | undefined;
  private failed = false;
  private readonly timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: UsageStore | undefined,
    private readonly onUnsaved: (error: unknown) => void,
    private readonly clock: LimitClock = systemClock,
  ) {
    if (store === undefined) return;
    this.restored = store.load();
    this.timer = setInterval(() => void this.save(), saveEveryMs);
    this.timer.unref();
  }

  /** What the key has used; begins with what is on disk. */
  of({ name }: Pick<KeyEntry, "name">): Use {
    let use = this.uses.get(name);
    if (use === undefined) {
      use = new Use(this.restored.get(name));
      this.uses.set(name, use);
    }
    return use;
  }

  /** Takes a request of so many answers, or throws what is in its way. */
  enter(key: KeyEntry, answers: number): Use {
    const use = this.of(key);
    const refusal = this.refusal(key, use, answers);
    if (refusal !== undefined) {
      use.refuse(refusal.limit);
      throw refusal.error;
    }
    const { requestsPerMinute } = key.limits;
    if (requestsPerMinute !== undefined)
      use.requestRate.take(1, requestsPerMinute, this.clock.now());
    use.addRequest(this.clock.wall());
    use.entering += answers;
    this.dirty = true;
    return use;
  }

  /** `key`: as it is now; undefined: revoked meanwhile. */
  settle(use: Use, key: KeyEntry | undefined, prompt: number, completion: number): void {
    const perMinute = key?.limits.tokensPerMinute;
    if (perMinute !== undefined)
      use.tokenRate.take(prompt + completion, perMinute, this.clock.now());
    use.addTokens(prompt, completion, this.clock.wall());
    this.dirty = true;
  }

  /** Undefined: this rate has no limit. */
  rate(key: KeyEntry, name: "requestsPerMinute" | "tokensPerMinute"): RateState | undefined {
    const limit = key.limits[name];
    if (limit === undefined) return undefined;
    const use = this.of(key);
    const rate = name === "requestsPerMinute" ? use.requestRate : use.tokenRate;
    const now = this.clock.now();
    const remaining = Math.max(0, Math.floor(limit - rate.usedOf(limit, now) + 1e-6));
    return { limit, remaining, resetMs: Math.ceil(rate.msUntil(0, limit, now)) };
  }

  budgetUsed(use: Use, name: Budget): number {
    const wall = this.clock.wall();
    if (name === "tokensTotal") return use.tokensTotal;
    return name === "tokensPerDay" ? use.tokensOn(dayOf(wall)) : use.tokensIn(monthOf(wall));
  }

  /** Writes what is new. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.saving;
    await this.save();
  }

  private refusal(
    key: KeyEntry,
    use: Use,
    answers: number,
  ): { limit: string; error: ServingError } | undefined {
    const { limits } = key;
    const of = (limit: LimitName, error: ServingError) => ({
      limit: limitWords[limit].field,
      error,
    });
    // What computes nothing costs no tokens.
    if (answers > 0) {
      for (const name of budgets) {
        const max = limits[name];
        if (max !== undefined && this.budgetUsed(use, name) >= max)
          return of(name, this.spent(key, name, max));
      }
      const { concurrency } = limits;
      if (concurrency !== undefined && use.atOnce + answers > concurrency)
        return of("concurrency", busy(key, answers, concurrency));
    }
    for (const name of ["requestsPerMinute", "tokensPerMinute"] as const) {
      const waitMs = answers > 0 || name === "requestsPerMinute" ? this.waitMs(key, use, name) : 0;
      if (waitMs > 0) return of(name, tooFast(key, name, waitMs));
    }
    return undefined;
  }

  /** A request needs a place of its own; tokens, of which nobody knows how many it takes, any that are left. */
  private waitMs(key: KeyEntry, use: Use, name: "requestsPerMinute" | "tokensPerMinute"): number {
    const max = key.limits[name];
    if (max === undefined) return 0;
    const now = this.clock.now();
    if (name === "requestsPerMinute") {
      const waitMs = use.requestRate.msUntil(max - 1, max, now);
      return waitMs < 1e-3 ? 0 : waitMs;
    }
    const isLeft = use.tokenRate.usedOf(max, now) < max;
    return isLeft ? 0 : Math.max(1, use.tokenRate.msUntil(max - 1, max, now));
  }

  private spent(key: KeyEntry, name: Budget, max: number): ServingError {
    const resetS = name === "tokensTotal" ? undefined : this.secondsToNext(name);
    const { words, field } = limitWords[name];
    const again =
      resetS === undefined
        ? "It does not come back by itself."
        : `It begins anew in ${spanOf(resetS)}.`;
    return failure("insufficient_quota", {
      message: `Key ${key.name} has spent its budget of ${words} (${field}): ${shown(max)}. ${again}`,
      retryAfterS: resetS ?? neverS,
    });
  }

  private secondsToNext(name: "tokensPerDay" | "tokensPerMonth"): number {
    const wall = this.clock.wall();
    const date = new Date(wall);
    const next =
      name === "tokensPerDay"
        ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 1)
        : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
    return Math.max(1, Math.ceil((next - wall) / 1000));
  }

  private async save(): Promise<void> {
    if (!this.dirty || this.saving !== undefined || this.store === undefined) return;
    this.dirty = false;
    this.saving = this.store
      .save(this.records())
      .then(() => {
        this.failed = false;
      })
      .catch((error: unknown) => {
        this.dirty = true;
        // Once until it works again: it is tried every few seconds.
        if (!this.failed) this.onUnsaved(error);
        this.failed = true;
      })
      .finally(() => {
        this.saving = undefined;
      });
    await this.saving;
  }

  /** Those that were used last, whether or not a file has them. */
  private records(): UsageRecords {
    const all = new Map(this.restored);
    for (const [name, use] of this.uses) all.set(name, use.counts);
    const used = [...all].filter(([, { lastUsedAt }]) => lastUsedAt > 0);
    used.sort(([, a], [, b]) => b.lastUsedAt - a.lastUsedAt);
    return new Map(used.slice(0, 2 * rememberedMax));
  }
}

const shown = (count: number): string => count.toLocaleString("en");

/** `45 s`, `12 minutes`, `3 hours`, `5 days`. */
function spanOf(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.ceil(seconds / 60)} minutes`;
  if (seconds < 172_800) return `${Math.ceil(seconds / 3600)} hours`;
  return `${Math.ceil(seconds / 86_400)} days`;
}

function tooFast(
  { name: key, limits }: KeyEntry,
  name: "requestsPerMinute" | "tokensPerMinute",
  waitMs: number,
): ServingError {
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1000));
  const { words, field } = limitWords[name];
  const limit = `${words} (${field}): ${shown(limits[name]!)}`;
  return failure("rate_limit_exceeded", {
    message: `Key ${key} has reached its limit of ${limit}. Try again in ${retryAfterS} s.`,
    retryAfterS,
  });
}

function busy({ name: key }: KeyEntry, answers: number, max: number): ServingError {
  if (answers > max)
    return failure("invalid_value", {
      message: `This asks for ${answers} answers at once; key ${key} may have ${shown(max)} (concurrency).`,
      param: "n",
    });
  return failure("concurrency_limit_exceeded", {
    message: `Key ${key} has reached its limit of answers at once (concurrency): ${shown(max)}. Try again when one has ended.`,
  });
}
