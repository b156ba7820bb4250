import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Effect, Event, Finish, Lease, Loss, State } from "../../src-ts/machines/Request.js";
import { initial, initialStored, retriesMax, transition } from "../../src-ts/machines/Request.js";
import { deepFreeze } from "./support.js";

/**
 * A request and the world around it, played fairly: the worker that holds the lease answers every
 * abort, sends its tokens in order and dies when it likes; everyone else may say anything at any
 * time. Each law is checked after each step.
 */
class World {
  state: State;
  /** What the worker that holds the lease knows of it. */
  slot: { lease: Lease; next: number; total: number; done: number; aborted: boolean } | undefined;
  readonly leases: Lease[] = [];
  /** Leases lost in a row since the furthest position was last passed, orders of ours apart. */
  retries = 0;
  furthest = 0;
  furthestAtStart = 0;
  emitted = 0;
  closed: Finish | undefined;
  promptTokens = 0;
  stored = false;

  constructor(readonly toBeStored = false) {
    this.state = toBeStored ? initialStored : initial;
  }

  say(event: Event): boolean {
    const outcome = transition(deepFreeze(this.state), deepFreeze(event));
    if (!outcome.ok) {
      const { kind } = outcome.rejection;
      if (kind === "illegal") throw new Error(`illegal: ${JSON.stringify([this.state, event])}`);
      return false;
    }
    this.state = outcome.state;
    for (const effect of outcome.effects) this.obey(effect);
    expect(this.closed !== undefined).toBe(this.state.kind === "done");
    expect("lease" in this.state).toBe(this.slot !== undefined);
    return true;
  }

  private obey(effect: Effect): void {
    expect(this.closed, "nothing comes after close").toBeUndefined();
    switch (effect.kind) {
      case "store":
        expect(this.toBeStored, "only what is to be stored is").toBe(true);
        return;
      case "accept":
        expect(this.stored, "what is to be stored is, before it is accepted").toBe(this.toBeStored);
        return;
      case "start": {
        expect(this.slot, "one live lease at a time").toBeUndefined();
        expect(effect.lease.epoch).toBe(this.leases.length + 1);
        expect(effect.resumeAt).toBe(this.emitted);
        this.leases.push(effect.lease);
        const total = this.promptTokens + this.emitted;
        this.slot = { lease: effect.lease, next: this.emitted, total, done: 0, aborted: false };
        this.furthestAtStart = this.furthest;
        return;
      }
      case "abort":
        expect(effect.lease).toEqual(this.slot?.lease);
        expect(this.slot?.aborted, "one abort a lease").toBe(false);
        this.slot!.aborted = true;
        return;
      case "emit":
        expect(effect.index, "indices without gaps").toBe(this.emitted);
        expect(effect.count).toBeGreaterThan(0);
        this.emitted += effect.count;
        return;
      case "requeue":
        expect(this.state.kind).toBe("queued");
        this.slot = undefined;
        return;
      case "migrated":
        expect(effect.attempt).toBe(this.leases.length);
        return;
      case "close":
        this.slot = undefined;
        this.closed = effect.finish;
        if (this.state.kind === "done") {
          expect(this.state.finish).toEqual(effect.finish);
          expect(this.state.emitted).toBe(this.emitted);
        }
        return;
    }
  }

  /** What the request itself counts as reached: it drops what comes once it is being ended. */
  private reach(position: number): void {
    if (this.state.kind === "cancelling" && this.state.cause !== "preempted") return;
    if (position <= this.furthest) return;
    this.furthest = position;
    this.retries = 0;
  }

  progress(share: number): void {
    const { slot } = this;
    if (!slot || slot.next > this.emittedAtStart()) return;
    slot.done += Math.floor((slot.total - slot.done) * share);
    this.reach(slot.done);
    this.say({ kind: "progress", lease: slot.lease, done: slot.done, total: slot.total });
  }

  private emittedAtStart(): number {
    return this.slot!.total - this.promptTokens;
  }

  tokens(count: number): void {
    const { slot } = this;
    if (!slot) return;
    const index = slot.next;
    slot.next += count;
    this.reach(this.promptTokens + slot.next);
    this.say({ kind: "tokens", lease: slot.lease, index, count });
  }

  /** The worker's last word on its lease. */
  answer(event: (lease: Lease) => Event): void {
    if (!this.slot) return;
    const { lease } = this.slot;
    expect(this.say(event(lease)), "a last word is always heard").toBe(true);
    expect(this.slot, "and frees the slot").toBeUndefined();
  }

  lose(loss: Loss, beside = false): void {
    if (!this.slot) return;
    const ending = this.state.kind === "cancelling" && this.state.cause !== "preempted";
    const charged = loss !== "stopped" && this.furthest === this.furthestAtStart;
    if (charged && (!beside || loss === "outOfMemory")) this.retries += 1;
    this.answer((lease) => ({ kind: "lost", lease, loss, beside }));
    if (!ending) expect(this.closed !== undefined).toBe(this.retries >= retriesMax);
  }

  /** Anything an old lease could still say changes nothing. */
  ghost(which: number, event: (lease: Lease) => Event): void {
    const old = this.slot ? this.leases.slice(0, -1) : this.leases;
    const lease = old[which % Math.max(1, old.length)];
    if (!lease) return;
    const before = this.state;
    expect(this.say(event(lease))).toBe(false);
    expect(this.state).toBe(before);
  }
}

const losses: Loss[] = [
  "exited",
  "linkClosed",
  "linkViolated",
  "stalled",
  "outOfMemory",
  "stopped",
];
const finishes: Finish[] = [
  { kind: "stop" },
  { kind: "length" },
  { kind: "toolCalls" },
  { kind: "failed", code: "generation_error" },
];

type Step = (world: World) => void;

const oneOf = <T>(values: readonly T[]) => fc.constantFrom(...values);

const word: fc.Arbitrary<(lease: Lease) => Event> = fc.oneof(
  fc.constant((lease: Lease): Event => ({ kind: "aborted", lease })),
  oneOf(finishes).map(
    (finish) =>
      (lease: Lease): Event => ({ kind: "ended", lease, finish }),
  ),
  fc.constant((lease: Lease): Event => ({ kind: "refused", lease, code: "invalid_prompt" })),
  fc.constant((lease: Lease): Event => ({ kind: "progress", lease, done: 1, total: 9 })),
  fc.nat(9).map(
    (index) =>
      (lease: Lease): Event => ({ kind: "tokens", lease, index, count: 1 }),
  ),
  oneOf(losses).map(
    (loss) =>
      (lease: Lease): Event => ({ kind: "lost", lease, loss, beside: false }),
  ),
);

/** Steps of a world that has not decided to end yet, each with the chance it should have. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>((world) => dispatch(world)) },
  {
    weight: 5,
    arbitrary: fc.double({ min: 0, max: 1, noNaN: true }).map(
      (share): Step =>
        (world) =>
          world.progress(share),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.integer({ min: 1, max: 4 }).map(
      (count): Step =>
        (world) =>
          world.tokens(count),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(oneOf(losses), fc.boolean()).map(
      ([loss, preparing]): Step =>
        (world) =>
          world.lose(loss, preparing),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constant<Step>((world) => world.say({ kind: "preempt" })).map(onlyAfterStart),
  },
  { weight: 4, arbitrary: fc.constant<Step>((world) => answerAbort(world)) },
  {
    weight: 1,
    arbitrary: oneOf(["cancel", "deadline", "shutdown"] as const).map(
      (kind): Step =>
        (world) =>
          void world.say({ kind }),
    ),
  },
  {
    weight: 1,
    arbitrary: oneOf(finishes).map(
      (finish): Step =>
        (world) =>
          world.answer((lease) => ({ kind: "ended", lease, finish })),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.nat(99), word).map(
      ([which, event]): Step =>
        (world) =>
          world.ghost(which, event),
    ),
  },
);

function onlyAfterStart(then: Step): Step {
  return (world) => {
    if (world.leases.length > 0) then(world);
  };
}

function dispatch(world: World): void {
  if (world.state.kind === "queued") world.say({ kind: "dispatch", workerId: "w" });
}

function answerAbort(world: World): void {
  if (world.slot?.aborted) world.answer((lease) => ({ kind: "aborted", lease }));
}

function walk(promptTokens: number, steps: Step[], toBeStored = false): World {
  const world = new World(toBeStored);
  world.promptTokens = promptTokens;
  world.say({ kind: "prepared", promptTokens });
  if (toBeStored) {
    world.stored = true;
    world.say({ kind: "stored" });
  }
  for (const take of steps) take(world);
  return world;
}

function restored(promptTokens: number, emitted: number): World {
  const world = new World();
  Object.assign(world, { promptTokens, emitted, furthest: promptTokens + emitted });
  world.say({ kind: "restored", promptTokens, emitted });
  return world;
}

const stop: Finish = { kind: "stop" };
const walks = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 60 }));

describe("Request, whatever happens", () => {
  it("keeps its laws on every walk, and a fair worker ends it", () => {
    fc.assert(
      fc.property(walks, fc.boolean(), ([promptTokens, steps], toBeStored) => {
        const world = walk(promptTokens, steps, toBeStored);
        // From here on nobody dies: a dispatch, an answer to the abort, or an end is enough.
        for (let turns = 0; world.closed === undefined && turns < 3; turns += 1) {
          dispatch(world);
          answerAbort(world);
          if (!world.slot?.aborted)
            world.answer((lease) => ({ kind: "ended", lease, finish: { kind: "stop" } }));
        }
        expect(world.closed).toBeDefined();
      }),
      { numRuns: 2_000 },
    );
  });

  it("ends after retriesMax losses in a row, and only then, however a worker dies", () => {
    fc.assert(
      fc.property(walks, ([promptTokens, steps]) => {
        const world = walk(promptTokens, steps);
        let losses = 0;
        while (world.closed === undefined) {
          dispatch(world);
          if (world.slot) world.lose("exited");
          losses += 1;
          expect(losses).toBeLessThanOrEqual(retriesMax + 1);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("lives on after a restart of the server as if nothing had been", () => {
    fc.assert(
      fc.property(fc.nat(9), walks, (emitted, [promptTokens, steps]) => {
        const world = restored(promptTokens, emitted);
        for (const take of steps) take(world);
        while (world.closed === undefined) {
          dispatch(world);
          if (world.slot?.aborted) answerAbort(world);
          else if (world.slot) world.answer((lease) => ({ kind: "ended", lease, finish: stop }));
        }
        expect(world.emitted).toBeGreaterThanOrEqual(emitted);
      }),
      { numRuns: 500 },
    );
  });

  it("never ends for deaths alone while each lease gets further", () => {
    const world = walk(8, []);
    for (let death = 0; death < 50; death += 1) {
      dispatch(world);
      world.tokens(1);
      world.lose("exited");
    }
    expect(world.closed).toBeUndefined();
    expect(world.emitted).toBe(50);
  });
});
