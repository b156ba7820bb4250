/**
 * What happened: outcomes of requests, faults, broken promises. The only judge of what may be lost: an
 * outcome that needs an excuse finds it among the faults of its time, or is a broken promise.
 */

/** Faults that may cost something, by what it is. */
const excuses = {
  /** A response that isn't stored; a request or a stream that can't be resumed. */
  server: ["serverKill", "serverStop", "serverDeath"],
  /** An orderly end that a client is told of. */
  drain: ["serverStop"],
};

/** What a fault did may be seen a little later. */
const excuseLagMs = 250;
/** What is kept of faults, for excuses and for the account of a broken promise. */
const faultsKeptMax = 20_000;
const brokenShownMax = 50;

export class Ledger {
  /** @type {Map<string, Map<string, number>>} */
  outcomes = new Map();
  /** @type {{ kind: string, at: number, until: number, detail: string }[]} */
  faults = [];
  /** @type {Map<string, number>} */
  faultCounts = new Map();
  brokenCount = 0;
  /** @type {string[]} */
  broken = [];
  #startedAt = performance.now();

  /** @param {(text: string) => void} say */
  constructor(say) {
    this.say = say;
  }

  outcome(kind, what) {
    const counts = this.outcomes.get(kind) ?? new Map();
    counts.set(what, (counts.get(what) ?? 0) + 1);
    this.outcomes.set(kind, counts);
  }

  /** A fault begins; the result ends it, where it lasts. */
  fault(kind, detail) {
    const fault = { kind, at: performance.now(), until: Number.POSITIVE_INFINITY, detail };
    this.faults.push(fault);
    if (this.faults.length > faultsKeptMax) this.faults.shift();
    this.faultCounts.set(kind, (this.faultCounts.get(kind) ?? 0) + 1);
    return () => {
      fault.until = performance.now();
    };
  }

  /** The youngest fault of these kinds. */
  lastFault(kinds) {
    return this.faults.findLast(({ kind }) => kinds.includes(kind));
  }

  /** The outcome if one of these faults was under way meanwhile, else a broken promise. */
  excusable(kind, what, { excuse, since, context }) {
    const isExcused = this.faults.some(
      (fault) => excuses[excuse].includes(fault.kind) && fault.until + excuseLagMs >= since,
    );
    if (isExcused) this.outcome(kind, what);
    else this.breach(kind, `${what}, and nothing happened that may cost it`, { since, context });
  }

  /** @param {{ since: number, context: unknown }} about */
  breach(kind, what, { since, context }) {
    this.outcome(kind, "BROKEN");
    this.brokenCount += 1;
    const near = this.faults.filter(({ until }) => until + excuseLagMs >= since).slice(-12);
    const faults = near.map(
      ({ kind: name, at, detail }) => `${this.#seconds(at)} ${name} ${detail}`,
    );
    const text = [
      `broken promise: ${kind}: ${what}`,
      `  began ${this.#seconds(since)}, now ${this.#seconds(performance.now())}; ${JSON.stringify(context)}`,
      ...faults.map((line) => `  fault at ${line}`),
    ].join("\n");
    if (this.broken.length < brokenShownMax) this.broken.push(text);
    this.say(text);
  }

  #seconds(at) {
    return `${((at - this.#startedAt) / 1000).toFixed(2)} s`;
  }
}
