/** Rates, budgets and places of keys, by a clock of the test's own. */
import { describe, expect, it } from "vitest";
import { isServingError, type ServingError } from "../../../../src-ts/errors.js";
import { retryAfterOf } from "../../../../src-ts/failures.js";
import type { KeyEntry, KeyLimits } from "../../../../src-ts/keys/entry.js";
import type { UsageRecords } from "../../../../src-ts/keys/usage-file.js";
import { Limits } from "../../../../src-ts/server/access/limits.js";

const noon = Date.UTC(2030, 0, 31, 12);

class Clock {
  ms = 0;
  now = () => 1_000 + this.ms;
  wall = () => noon + this.ms;
}

class Store {
  saved: UsageRecords = new Map();
  fails = false;
  load = () => this.saved;
  save = async (records: UsageRecords) => {
    if (this.fails) throw new Error("disk full");
    this.saved = new Map([...records].map(([name, record]) => [name, { ...record }]));
  };
}

function given(limits: KeyLimits, store?: Store) {
  const clock = new Clock();
  const faults: unknown[] = [];
  const all = new Limits(store, (error) => faults.push(error), clock);
  const key: KeyEntry = { name: "alice", hash: Buffer.alloc(32), limits };
  const enter = (answers = 1) => {
    const use = all.enter(key, answers);
    use.entering -= answers;
    return use;
  };
  const spend = (tokens: number) => all.settle(all.of(key), key, tokens, 0);
  const refusal = (answers = 1): ServingError => {
    try {
      all.enter(key, answers);
    } catch (error) {
      if (isServingError(error)) return error;
      throw error;
    }
    throw new Error("it was taken");
  };
  return { all, clock, key, enter, spend, refusal, faults };
}

describe("requests per minute", () => {
  it("may come at once, then evenly", () => {
    const { clock, enter, refusal, all, key } = given({ requestsPerMinute: 6 });
    expect(all.rate(key, "requestsPerMinute")).toEqual({ limit: 6, remaining: 6, resetMs: 0 });
    for (let i = 0; i < 6; i++) enter();
    expect(all.rate(key, "requestsPerMinute")).toEqual({ limit: 6, remaining: 0, resetMs: 60_000 });
    const error = refusal();
    expect(error).toMatchObject({ code: "rate_limit_exceeded", status: 429, retryAfterS: 10 });
    expect(error.message).toBe(
      "Key alice has reached its limit of requests per minute (requests-per-minute): 6. Try again in 10 s.",
    );
    clock.ms += 9_000;
    expect(refusal().retryAfterS).toBe(1);
    clock.ms += 1_000;
    enter();
    refusal();
    clock.ms += 600_000;
    for (let i = 0; i < 6; i++) enter();
    refusal();
  });

  it("counts what asks for no answer, too", () => {
    const { enter, refusal, all, key } = given({ requestsPerMinute: 1, tokensTotal: 1 });
    enter(0);
    expect(refusal(0).code).toBe("rate_limit_exceeded");
    expect(all.of(key).refused).toEqual(new Map([["requests-per-minute", 1]]));
  });
});

describe("tokens per minute", () => {
  it("are counted at the end, and what was too much is repaid", () => {
    const { clock, enter, spend, refusal, all, key } = given({ tokensPerMinute: 600 });
    enter();
    spend(599);
    enter();
    spend(301);
    expect(all.rate(key, "tokensPerMinute")).toEqual({
      ...{ limit: 600, remaining: 0, resetMs: 90_000 },
    });
    expect(refusal()).toMatchObject({ code: "rate_limit_exceeded", retryAfterS: 31 });
    enter(0);
    clock.ms += 30_100;
    enter();
  });
});

describe("budgets", () => {
  it.each([
    ["tokensPerDay", "tokens-per-day", 12 * 3600, "12 hours"],
    ["tokensPerMonth", "tokens-per-month", 12 * 3600, "12 hours"],
  ] as const)("%s begin anew", (name, field, seconds, words) => {
    const { clock, enter, spend, refusal } = given({ [name]: 1000 });
    enter();
    spend(1500);
    const error = refusal();
    expect(error).toMatchObject({ code: "insufficient_quota", status: 429 });
    expect(retryAfterOf(error)).toBe(seconds);
    expect(error.message).toContain(`(${field}): 1,000. It begins anew in ${words}.`);
    clock.ms += seconds * 1000;
    enter();
  });

  it("in all do not, and no answer is longer than a day away", () => {
    const { clock, enter, spend, refusal } = given({ tokensTotal: 10 });
    enter();
    spend(10);
    clock.ms += 1e10;
    expect(refusal()).toMatchObject({ code: "insufficient_quota", retryAfterS: 86_400 });
  });

  it("survive a restart, and a disk that fails for a while", async () => {
    const store = new Store();
    const first = given({ tokensPerDay: 10 }, store);
    first.enter();
    first.spend(10);
    await first.all.close();
    const second = given({ tokensPerDay: 10 }, store);
    expect(second.refusal().code).toBe("insufficient_quota");
    expect(second.all.of(second.key).counts).toMatchObject({ requests: 1, promptTokens: 10 });
    second.spend(5);
    store.fails = true;
    await second.all.close();
    expect(second.faults).toHaveLength(1);
    expect(store.saved.get("alice")).toMatchObject({ dayTokens: 10 });
  });

  it("keep what a key had used that is not asked about", async () => {
    const store = new Store();
    const first = given({}, store);
    first.enter();
    await first.all.close();
    const other = new Limits(store, () => {}, new Clock());
    other.enter({ ...first.key, name: "bob" }, 1);
    await other.close();
    expect([...store.saved.keys()].sort()).toEqual(["alice", "bob"]);
  });
});

describe("answers at once", () => {
  it("have places, which one that asks for more than there are never gets", () => {
    const { all, key, refusal } = given({ concurrency: 2 });
    const use = all.enter(key, 2);
    expect(refusal()).toMatchObject({ code: "concurrency_limit_exceeded", status: 429 });
    expect(refusal(3)).toMatchObject({ code: "invalid_value", status: 400, param: "n" });
    use.entering -= 1;
    use.running += 1;
    refusal();
    use.running -= 1;
    all.enter(key, 1);
  });

  it("that are refused take nothing of a rate", () => {
    const { all, key, refusal, enter } = given({ concurrency: 1, requestsPerMinute: 2 });
    const use = all.enter(key, 1);
    for (let i = 0; i < 5; i++) expect(refusal().code).toBe("concurrency_limit_exceeded");
    use.entering--;
    enter();
    expect(refusal().code).toBe("rate_limit_exceeded");
  });
});
