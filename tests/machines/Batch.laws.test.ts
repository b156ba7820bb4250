import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Cost, Effect, Event, State, Terms } from "../../src-ts/machines/Batch.js";
import { free, initial, members, transition } from "../../src-ts/machines/Batch.js";
import { deepFreeze } from "./support.js";

/** A batch and the ledger of who joined, was submitted and left; each law checked at each step. */
class World {
  state: State;
  armed = false;
  private readonly joined = new Set<string>();
  private readonly submitted = new Set<string>();
  private readonly evicted = new Set<string>();
  private readonly left = new Set<string>();
  private closed = false;
  private names = 0;

  constructor(private readonly terms: Terms) {
    this.state = initial(terms);
  }

  name(): string {
    this.names += 1;
    return `r${this.names}`;
  }

  known(which: number): string {
    return `r${1 + (which % Math.max(1, this.names))}`;
  }

  say(event: Event): void {
    const outcome = transition(deepFreeze(this.state), deepFreeze(event));
    if (!outcome.ok) return;
    if (event.kind === "windowElapsed") this.armed = false;
    if (event.kind === "join") {
      expect(this.joined.has(event.requestId), "a member once").toBe(false);
      this.joined.add(event.requestId);
    }
    if (event.kind === "leave") this.leaves(event.requestId);
    if (event.kind === "workerLost")
      for (const { requestId } of members(this.state)) this.leaves(requestId);
    this.state = outcome.state;
    for (const effect of outcome.effects) this.obey(effect);
    this.check();
  }

  private leaves(id: string): void {
    expect(this.left.has(id), "left once").toBe(false);
    this.left.add(id);
  }

  private obey(effect: Effect): void {
    expect(this.closed, "nothing comes after closed").toBe(false);
    switch (effect.kind) {
      case "arm":
        expect(this.armed, "one window at a time").toBe(false);
        expect(effect.ms).toBe(this.terms.windowMs);
        this.armed = true;
        return;
      case "submit":
        expect(effect.requestIds).not.toEqual([]);
        for (const id of effect.requestIds) {
          expect(this.submitted.has(id) || this.left.has(id), "submitted once").toBe(false);
          this.submitted.add(id);
        }
        return;
      case "evict":
        for (const id of effect.requestIds) {
          expect(this.submitted.has(id), "evicted before it was submitted").toBe(false);
          this.evicted.add(id);
          this.leaves(id);
        }
        return;
      case "closed":
        this.closed = true;
        return;
    }
  }

  private check(): void {
    const present = members(this.state);
    const { budget } = this.terms;
    const ids = present.map(({ requestId }) => requestId);
    expect(new Set(ids).size, "a member is in it once").toBe(ids.length);
    expect(ids.toSorted(), "who joined and has not left is in it").toEqual(
      [...this.joined.keys()].filter((id) => !this.left.has(id)).toSorted(),
    );
    expect(present.length).toBeLessThanOrEqual(budget.members);
    const kvBytes = present.reduce((sum, { cost }) => sum + cost.kvBytes, 0);
    expect(kvBytes).toBeLessThanOrEqual(budget.kvBytes);
    const prefills = present.filter(({ prefilled, cost }) => !prefilled && cost.promptTokens > 0);
    const prefill = prefills.reduce((sum, { cost }) => sum + cost.promptTokens, 0);
    if (prefills.length > 1) expect(prefill).toBeLessThanOrEqual(budget.prefillTokens);
    if (present.some(({ exclusive }) => exclusive)) expect(present.length).toBe(1);
    expect(this.state.kind === "closed").toBe(this.closed);
    if (this.state.kind === "running" || this.state.kind === "forming") {
      expect(free(this.state)).toEqual({
        members: budget.members - present.length,
        kvBytes: budget.kvBytes - kvBytes,
        prefillTokens: Math.max(0, budget.prefillTokens - prefill),
      });
    }
    if (this.state.kind === "draining") expect(present).not.toEqual([]);
    if (this.state.kind === "forming") expect(this.armed).toBe(true);
    if (this.state.kind === "running" || this.state.kind === "draining")
      for (const id of ids) expect(this.submitted.has(id)).toBe(true);
  }

  /** Whoever joins fits exactly when the numbers say so. */
  join(cost: Cost, exclusive: boolean): void {
    const present = members(this.state);
    const room = free(this.state);
    const prefilling = present.some(({ prefilled, cost }) => !prefilled && cost.promptTokens > 0);
    const fits =
      (this.state.kind === "running" || this.state.kind === "forming") &&
      room.members > 0 &&
      cost.kvBytes <= room.kvBytes &&
      (cost.promptTokens <= room.prefillTokens || !prefilling) &&
      !(exclusive && present.length > 0) &&
      !present.some((member) => member.exclusive);
    const requestId = this.name();
    this.say({ kind: "join", requestId, cost, key: this.terms.key, exclusive, at: 0 });
    expect(this.joined.has(requestId)).toBe(fits);
  }
}

type Step = (world: World) => void;

const cost: fc.Arbitrary<Cost> = fc.record({
  promptTokens: fc.nat(60),
  newTokens: fc.nat(60),
  kvBytes: fc.nat(60),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.tuple(cost, fc.nat(9)).map(
      ([cost, luck]): Step =>
        (world) =>
          world.join(cost, luck === 0),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constant<Step>((world) => {
      if (world.armed) world.say({ kind: "windowElapsed" });
    }),
  },
  {
    weight: 5,
    arbitrary: fc.nat(99).map(
      (which): Step =>
        (world) =>
          world.say({ kind: "prefilled", requestId: world.known(which) }),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.nat(99).map(
      (which): Step =>
        (world) =>
          world.say({ kind: "leave", requestId: world.known(which) }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<Event>({ kind: "drain", cause: "restart" }, { kind: "workerLost" })
      .map(
        (event): Step =>
          (world) =>
            world.say(event),
      ),
  },
);

const terms: fc.Arbitrary<Terms> = fc.record({
  key: fc.constant("m"),
  budget: fc.record({
    members: fc.integer({ min: 1, max: 6 }),
    kvBytes: fc.nat(200),
    prefillTokens: fc.nat(100),
  }),
  windowMs: fc.constantFrom(0, 2),
});

describe("Batch, whatever happens", () => {
  it("keeps its laws on every walk, and ends empty", () => {
    fc.assert(
      fc.property(terms, fc.array(step, { maxLength: 80 }), (terms, steps) => {
        const world = new World(terms);
        for (const take of steps) take(world);
        world.say({ kind: "drain", cause: "shutdown" });
        for (const { requestId } of members(world.state)) world.say({ kind: "leave", requestId });
        expect(world.state).toEqual({ kind: "closed" });
      }),
      { numRuns: 1_000 },
    );
  });
});
