import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as Batch from "../../src-ts/machines/Batch.js";
import type { Decision, Item, PlanInput, Share, Worker } from "../../src-ts/machines/Scheduler.js";
import { defaultPolicy, plan } from "../../src-ts/machines/Scheduler.js";
import { cost, input, item, now, policy, running, worker } from "./Scheduler.fixtures.js";
import { deepFreeze } from "./support.js";

const rank = { interactive: 0, normal: 1, batch: 2 };
const priority = fc.constantFrom("interactive" as const, "normal" as const, "batch" as const);
const key = fc.constantFrom("m", "n");
const arrivedAt = fc.integer({ min: now - 30_000, max: now });

const someCost = fc.record({
  promptTokens: fc.nat(300),
  newTokens: fc.nat(100),
  kvBytes: fc.nat(120),
});

/** A worker as its Batch has it, after some joins; the batch goes with it. */
interface Site {
  worker: Worker;
  batch: Batch.State;
}

const seat = fc.record({
  cost: someCost,
  priority,
  arrivedAt,
  preemptible: fc.boolean(),
  prefilled: fc.boolean(),
  exclusive: fc.nat(12).map((luck) => luck === 0),
});

const site = (workerId: string): fc.Arbitrary<Site> =>
  fc
    .record({
      key,
      capacity: fc.record({
        members: fc.integer({ min: 1, max: 6 }),
        kvBytes: fc.integer({ min: 50, max: 300 }),
        prefillTokens: fc.integer({ min: 50, max: 400 }),
      }),
      seats: fc.array(seat, { maxLength: 6 }),
      preparing: fc.boolean(),
    })
    .map(({ key, capacity, seats, preparing }) => {
      let batch = Batch.initial({ key, budget: capacity, windowMs: 0 });
      const seated: Worker["running"] = [];
      for (const [index, { cost, exclusive, prefilled, ...more }] of seats.entries()) {
        const requestId = `${workerId}-${index}`;
        const joined = join(batch, { requestId, cost, exclusive, key });
        if (!joined.ok) continue;
        batch = joined.state;
        seated.push({ requestId, cost, ...more });
        const done = prefilled ? Batch.transition(batch, { kind: "prefilled", requestId }) : joined;
        if (done.ok) batch = done.state;
      }
      const held = Batch.members(batch).some(({ exclusive }) => exclusive);
      const free = Batch.free(batch);
      const worker = { workerId, key, capacity, free, held, preparing, running: seated };
      return { worker, batch };
    });

function join(
  batch: Batch.State,
  who: { requestId: string; cost: Batch.Cost; exclusive: boolean; key: string },
): Batch.Outcome {
  return Batch.transition(batch, { kind: "join", at: now, ...who });
}

const sites = fc
  .integer({ min: 0, max: 4 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => site(`w${index}`))));

const queue = fc
  .array(
    fc.record({
      clientId: fc.constantFrom("a", "b", "c"),
      key,
      priority,
      arrivedAt,
      deadlineAt: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat(now * 2)),
      cost: someCost,
      alone: fc.nat(9).map((luck) => luck === 0),
      begun: fc.nat(5).map((luck) => luck === 0),
      prefixes: fc.array(
        fc.record({ workerId: fc.constantFrom("w0", "w1", "w9"), tokens: fc.nat(300) }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 25 },
  )
  .map((items) => items.map((more, index): Item => ({ requestId: `r${index}`, ...more })));

const shares: fc.Arbitrary<Share[]> = fc.uniqueArray(
  fc.record({
    clientId: fc.constantFrom("a", "b", "c", "gone"),
    credit: fc.integer({ min: -900, max: 500 }),
  }),
  { selector: ({ clientId }) => clientId },
);

const situation = fc.record({ sites, queue, shares });

const asInput = ({
  sites,
  queue,
  shares,
}: {
  sites: Site[];
  queue: Item[];
  shares: Share[];
}): PlanInput =>
  input(
    queue,
    sites.map(({ worker }) => worker),
    { shares },
  );

const of = <K extends Decision["kind"]>(decisions: Decision[], kind: K) =>
  decisions.filter(
    (decision): decision is Extract<Decision, { kind: K }> => decision.kind === kind,
  );

describe("plan, whatever it is given", () => {
  it("only dispatches what the batches then admit", () => {
    fc.assert(
      fc.property(situation, (given) => {
        const batches = new Map(given.sites.map(({ worker, batch }) => [worker.workerId, batch]));
        for (const { requestId, workerId } of of(plan(asInput(given)).decisions, "dispatch")) {
          const { cost, alone, key } = given.queue.find((one) => one.requestId === requestId)!;
          const outcome = join(batches.get(workerId)!, { requestId, cost, exclusive: alone, key });
          expect(outcome, `${requestId} at ${workerId}`).toMatchObject({ ok: true });
          if (outcome.ok) batches.set(workerId, outcome.state);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("decides about an item at most once, and only about what it was given", () => {
    fc.assert(
      fc.property(situation, (given) => {
        const { decisions } = plan(deepFreeze(asInput(given)));
        const settled = decisions.filter(({ kind }) => kind !== "preempt");
        const ids = settled.map(({ requestId }) => requestId);
        expect(new Set(ids).size).toBe(ids.length);
        for (const id of ids) expect(given.queue.some((one) => one.requestId === id)).toBe(true);
      }),
    );
  });

  it("refuses exactly what is larger than every worker of its key", () => {
    fc.assert(
      fc.property(situation, (given) => {
        const refused = of(plan(asInput(given)).decisions, "refuse").map(
          ({ requestId }) => requestId,
        );
        const never = given.queue.filter(({ key, cost }) => {
          const limits = given.sites
            .filter(({ worker }) => worker.key === key)
            .map(({ worker }) => worker.capacity.kvBytes);
          return limits.length > 0 && limits.every((limit) => cost.kvBytes > limit);
        });
        expect(refused.toSorted()).toEqual(never.map(({ requestId }) => requestId).toSorted());
      }),
    );
  });

  it("preempts only the newest of the lowest class, below who asks, on its worker", () => {
    fc.assert(
      fc.property(situation, (given) => {
        const { decisions } = plan(asInput(given));
        const taken = new Set<string>();
        for (const { requestId, workerId, inFavourOf } of of(decisions, "preempt")) {
          const { worker } = given.sites.find((one) => one.worker.workerId === workerId)!;
          const asking = given.queue.find((one) => one.requestId === inFavourOf)!;
          const victim = worker.running.find((one) => one.requestId === requestId)!;
          expect(worker.key).toBe(asking.key);
          expect(taken.has(requestId)).toBe(false);
          taken.add(requestId);
          expect(victim.preemptible).toBe(true);
          expect(rank[victim.priority]).toBeGreaterThan(rank[asking.priority]);
          const left = worker.running.filter((one) => one.preemptible && !taken.has(one.requestId));
          for (const other of left) {
            const aged = Math.floor((now - other.arrivedAt) / policy.ageingMs);
            const open = Math.max(0, rank[other.priority] - aged) > rank[asking.priority];
            if (!open) continue;
            expect(rank[other.priority]).toBeLessThanOrEqual(rank[victim.priority]);
            if (other.priority === victim.priority)
              expect(other.arrivedAt).toBeLessThanOrEqual(victim.arrivedAt);
          }
        }
        const helped = new Set(of(decisions, "preempt").map(({ inFavourOf }) => inFavourOf));
        for (const { requestId } of of(decisions, "dispatch"))
          expect(helped.has(requestId), "who is helped still waits").toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  it("does not depend on the order of the queue", () => {
    fc.assert(
      fc.property(situation, fc.infiniteStream(fc.nat()), (given, luck) => {
        const shuffled = given.queue
          .map((one) => ({ one, at: luck.next().value as number }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ one }) => one);
        expect(plan(asInput({ ...given, queue: shuffled }))).toEqual(plan(asInput(given)));
      }),
    );
  });

  it("conserves credit among those who wait and those who were served", () => {
    fc.assert(
      fc.property(situation, (given) => {
        const { decisions, shares } = plan(asInput({ ...given, shares: [] }));
        const settled = new Set(
          decisions.flatMap((one) => (one.kind === "preempt" ? [] : [one.requestId])),
        );
        const keys = new Set(given.sites.map(({ worker }) => worker.key));
        const waiting = given.queue.filter(
          ({ requestId, key }) => !settled.has(requestId) && keys.has(key),
        );
        const clients = shares.map(({ clientId }) => clientId);
        for (const { clientId } of waiting) expect(clients).toContain(clientId);
        for (const { clientId, credit } of shares)
          expect(credit < 0 || waiting.some((one) => one.clientId === clientId)).toBe(true);
        const sum = shares.reduce((sum, { credit }) => sum + credit, 0);
        if (waiting.length > 0) expect(sum).toBeLessThanOrEqual(1e-6);
      }),
    );
  });

  it("orders as deficit round robin does, round by round", () => {
    const clients = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(400), arrivedAt), {
      minLength: 1,
      maxLength: 15,
    });
    fc.assert(
      fc.property(clients, shares, (given, shares) => {
        const queue = given.map(([clientId, newTokens, arrivedAt], index) =>
          item(`r${index}`, {
            clientId,
            arrivedAt,
            priority: "interactive",
            cost: cost({ promptTokens: 0, newTokens, kvBytes: 0 }),
          }),
        );
        const room = { members: 100, kvBytes: 100, prefillTokens: 100 };
        const vast = worker("w", [], { capacity: room, free: room });
        const { decisions } = plan(input(queue, [vast], { shares }));
        expect(decisions.map(({ requestId }) => requestId)).toEqual(roundRobin(queue, shares));
      }),
      { numRuns: 300 },
    );
  });
});

/** Deficit round robin as the paper has it, one round after another. */
function roundRobin(queue: Item[], shares: Share[]): string[] {
  const sorted = queue.toSorted(
    (a, b) => a.arrivedAt - b.arrivedAt || (a.requestId < b.requestId ? -1 : 1),
  );
  const credit = new Map(sorted.map(({ clientId }) => [clientId, 0]));
  for (const share of shares)
    if (credit.has(share.clientId)) credit.set(share.clientId, share.credit);
  const served: string[] = [];
  let waiting = sorted;
  while (waiting.length > 0) {
    const blocked = new Set<string>();
    waiting = waiting.filter(({ clientId, requestId, cost }) => {
      const left = credit.get(clientId)! - cost.promptTokens - cost.newTokens;
      if (blocked.has(clientId) || left < 0) {
        blocked.add(clientId);
        return true;
      }
      credit.set(clientId, left);
      served.push(requestId);
      return false;
    });
    for (const client of credit.keys())
      credit.set(client, credit.get(client)! + policy.quantumTokens);
  }
  return served;
}

describe("plan, again and again", () => {
  // A credit never falls below -(quantum + largest cost), and credits add up to zero, or to what
  // clients without a second request lose each time that they have nothing waiting.
  it.each([
    ["backlogged clients", 2, 1],
    ["clients with one request at a time", 1, 2],
  ])("serves %s the same number of tokens, whatever they cost", (_, depth, factor) => {
    const sizes = fc.array(fc.integer({ min: 50, max: 500 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(sizes, (sizes) => {
        const served = serve(sizes, depth);
        const bound = factor * sizes.length * (policy.quantumTokens + Math.max(...sizes));
        expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(bound);
      }),
      { numRuns: 15 },
    );
  });

  it("starves nobody, however much of a better class arrives", () => {
    const bulk = item("bulk", { priority: "batch", clientId: "patient", arrivedAt: 0 });
    let time = 0;
    let shares: Share[] = [];
    for (; time < 3 * policy.ageingMs; time += 50) {
      const chats = Array.from({ length: 3 }, (_, index) =>
        item(`chat${time}-${index}`, { priority: "interactive", arrivedAt: time }),
      );
      const planned = plan(input([...chats, bulk], [oneSlot()], { now: time, shares }));
      shares = planned.shares;
      if (of(planned.decisions, "dispatch").some(({ requestId }) => requestId === "bulk")) break;
    }
    expect(time).toBeLessThanOrEqual(2 * policy.ageingMs + 50);
  });

  it("starves no costly request, however many new clients arrive with cheap ones", () => {
    const costly = item("costly", { clientId: "patient", cost: cost({ newTokens: 4_000 }) });
    let shares: Share[] = [];
    let turn = 0;
    for (; turn < 1_000; turn += 1) {
      const cheap = item(`cheap${turn}`, { clientId: `new${turn}` });
      const planned = plan(input([costly, cheap], [oneSlot()], { shares }));
      shares = planned.shares;
      expect(shares.length, "debts are paid off and forgotten").toBeLessThan(10);
      if (of(planned.decisions, "dispatch")[0]?.requestId === "costly") break;
    }
    // Half of each 100 tokens that a newcomer takes are the patient one's to earn.
    expect(turn).toBeLessThanOrEqual((2 * 4_060) / 100 + 1);
  });

  it("starves nothing big, however much that is small arrives", () => {
    const big = item("big", { cost: cost({ kvBytes: 100 }), arrivedAt: 0 });
    let runs = [0, 1, 2, 3].map((index) => running(`s${index}`, "normal", { arrivedAt: index }));
    for (let turn = 1; turn <= 4; turn += 1) {
      runs = runs.slice(1); // the oldest has ended
      const small = item(`small${turn}`, { arrivedAt: turn });
      const dispatched = of(plan(input([small, big], [worker("w", runs)])).decisions, "dispatch");
      expect(dispatched.map(({ requestId }) => requestId)).toEqual(turn < 4 ? [] : ["big"]);
    }
  });

  it("does not preempt in turns: who was made room for comes first", () => {
    const chat = item("chat", { priority: "interactive", clientId: "x" });
    const held = running("bulk", "batch", { arrivedAt: now - policy.ageingMs });
    const crowded = worker("w", [held], { free: { members: 0, kvBytes: 90, prefillTokens: 200 } });
    const asked = plan(input([chat], [crowded]));
    expect(asked.decisions).toMatchObject([{ kind: "preempt", requestId: "bulk" }]);
    const requeued = item("bulk", { priority: "batch", clientId: "y", arrivedAt: held.arrivedAt });
    const then = plan(input([requeued, chat], [oneSlot()], { shares: asked.shares }));
    expect(of(then.decisions, "dispatch")).toMatchObject([{ requestId: "chat" }]);
  });
});

/** Tokens served to each client in 300 plans of one slot; each always has `depth` requests. */
function serve(sizes: number[], depth: number): number[] {
  const served = sizes.map(() => 0);
  let shares: Share[] = [];
  for (let turn = 0; turn < 300; turn += 1) {
    const queue = sizes.flatMap((newTokens, index) =>
      Array.from({ length: depth }, (_, nth) =>
        item(`r${turn}-${index}-${nth}`, {
          clientId: `c${index}`,
          cost: cost({ promptTokens: 0, newTokens }),
        }),
      ),
    );
    const planned = plan(input(queue, [oneSlot()], { shares }));
    shares = planned.shares;
    for (const { requestId } of of(planned.decisions, "dispatch")) {
      const index = Number(requestId.split("-")[1]);
      served[index]! += sizes[index]!;
    }
  }
  return served;
}

function oneSlot(): Worker {
  return worker("w", [], { free: { members: 1, kvBytes: 100, prefillTokens: 200 } });
}

describe("the default policy", () => {
  it("is one that the schemas accept and the design names", () => {
    expect(defaultPolicy).toEqual({
      ageingMs: 10_000,
      quantumTokens: 1_024,
      prefixMin: 64,
      imbalanceMax: 16,
      preempt: true,
    });
  });
});
