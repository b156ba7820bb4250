import { describe, expect, it } from "vitest";
import { plan } from "../../src-ts/machines/Scheduler.js";
import {
  cost,
  decide,
  full,
  input,
  item,
  now,
  placed,
  policy,
  running,
  worker,
} from "./Scheduler.fixtures.js";

/** One slot at a time shows the order: the first to be dispatched. */
const one = () => worker("w", [], { free: { members: 1, kvBytes: 100, prefillTokens: 200 } });
const first = (...queue: Parameters<typeof decide>[0]) => placed(decide(queue, [one()]));

describe("order", () => {
  it("goes by class first", () => {
    const queue = [
      item("bulk", { priority: "batch", arrivedAt: now - 9 }),
      item("normal", { arrivedAt: now - 8 }),
      item("chat", { priority: "interactive" }),
    ];
    expect(first(...queue)).toEqual(["chat@w"]);
    expect(first(...queue.slice(0, 2))).toEqual(["normal@w"]);
  });

  it("lifts by one class for every ageingMs waited", () => {
    const chat = item("chat", { priority: "interactive", arrivedAt: now - 1 });
    const aged = (ms: number) => item("old", { priority: "batch", arrivedAt: now - ms });
    expect(first(chat, aged(2 * policy.ageingMs - 1))).toEqual(["chat@w"]);
    expect(first(chat, aged(2 * policy.ageingMs))).toEqual(["old@w"]);
  });

  it("does not age when ageingMs is 0", () => {
    const old = item("old", { priority: "batch", arrivedAt: 0 });
    const decisions = decide([old, item("new")], [one()], { policy: { ...policy, ageingMs: 0 } });
    expect(placed(decisions)).toEqual(["new@w"]);
  });

  it("gives clients of one class their turns in tokens, not in requests", () => {
    const big = cost({ promptTokens: 160 });
    const queue = [
      item("a1", { clientId: "a", cost: big, arrivedAt: now - 9 }),
      item("b1", { clientId: "b", arrivedAt: now - 8 }),
      item("b2", { clientId: "b", arrivedAt: now - 7 }),
      item("b3", { clientId: "b", arrivedAt: now - 6 }),
    ];
    const roomy = worker("w", [], {
      capacity: { members: 9, kvBytes: 900, prefillTokens: 9_000 },
      free: { members: 9, kvBytes: 900, prefillTokens: 9_000 },
    });
    expect(placed(decide(queue, [roomy]))).toEqual(["b1@w", "a1@w", "b2@w", "b3@w"]);
  });

  it("remembers across plans who had more than its turn", () => {
    const queue = [item("a", { clientId: "a", arrivedAt: now - 9 }), item("b", { clientId: "b" })];
    const shares = [{ clientId: "a", credit: -100 }];
    expect(placed(decide(queue, [one()]))).toEqual(["a@w"]);
    expect(placed(decide(queue, [one()], { shares }))).toEqual(["b@w"]);
  });

  it("lets what was begun go on before any turn in its class, but no suspect", () => {
    const begun = item("begun", { clientId: "a", begun: true });
    const older = item("older", { clientId: "b", arrivedAt: now - 9 });
    const shares = [{ clientId: "a", credit: -1_000 }];
    const firstOf = (...queue: Parameters<typeof decide>[0]) =>
      placed(decide(queue, [one()], { shares }));
    expect(firstOf(older, begun)).toEqual(["begun@w"]);
    expect(firstOf(older, { ...begun, begun: false })).toEqual(["older@w"]);
    expect(firstOf(item("chat", { priority: "interactive" }), begun)).toEqual(["chat@w"]);
    const alone = worker("w", []);
    expect(placed(decide([older, { ...begun, alone: true }], [alone], { shares }))).toEqual([
      "older@w",
    ]);
  });

  it("then by the earliest deadline, then by arrival", () => {
    const early = item("early", { deadlineAt: now + 5 });
    const late = item("late", { deadlineAt: now + 9, arrivedAt: now - 9 });
    const never = item("never", { arrivedAt: now - 50 });
    expect(first(never, late, early)).toEqual(["early@w"]);
    expect(first(never, late)).toEqual(["late@w"]);
    expect(first(item("y", { arrivedAt: now - 1 }), item("x"))).toEqual(["y@w"]);
  });
});

describe("shares", () => {
  const sharesOf = (...given: Parameters<typeof input>) => plan(input(...given)).shares;
  const a = item("a", { clientId: "a", arrivedAt: now - 9 });
  const b = item("b", { clientId: "b" });

  it("charge what is dispatched to one and divide it among all who want", () => {
    expect(sharesOf([a, b], [one()])).toEqual([
      { clientId: "a", credit: -50 },
      { clientId: "b", credit: 50 },
    ]);
  });

  it("were paid for what was begun, unless it is a suspect", () => {
    const begun = { ...a, begun: true };
    expect(sharesOf([begun, b], [one()])).toEqual([{ clientId: "b", credit: 0 }]);
    const alone = worker("w", []);
    expect(sharesOf([{ ...begun, alone: true }, b], [alone])).toEqual([
      { clientId: "a", credit: -50 },
      { clientId: "b", credit: 50 },
    ]);
  });

  it("are forgotten when nobody waits", () => {
    expect(sharesOf([a, b], [worker("w")], { shares: [{ clientId: "x", credit: -9 }] })).toEqual(
      [],
    );
  });

  it("keep the debt, and only the debt, of who wants nothing just now", () => {
    const shares = [
      { clientId: "debtor", credit: -80 },
      { clientId: "paid", credit: -50 },
      { clientId: "saver", credit: 70 },
    ];
    expect(sharesOf([a, b], [one()], { shares })).toEqual([
      { clientId: "a", credit: -50 },
      { clientId: "b", credit: 50 },
      { clientId: "debtor", credit: -30 },
    ]);
  });

  it("are earned only from workers that one could have had", () => {
    const other = item("x", { clientId: "x", key: "n" });
    const full = worker("v", [], { key: "n", free: { members: 0, kvBytes: 0, prefillTokens: 0 } });
    expect(sharesOf([a, b, other], [one(), full])).toContainEqual({ clientId: "x", credit: 0 });
  });
});

describe("fit", () => {
  it("fills workers as far as they go", () => {
    const queue = ["a", "b", "c", "d", "e"].map((id, index) =>
      item(id, { arrivedAt: now + index }),
    );
    expect(placed(decide(queue, [worker("w")]))).toEqual(["a@w", "b@w", "c@w"]);
    const prefilled = queue.map((it) => ({ ...it, cost: cost({ promptTokens: 0 }) }));
    expect(placed(decide(prefilled, [worker("w")]))).toHaveLength(4);
  });

  it("lets a prompt beyond the prefill budget in when no other prefill is in flight", () => {
    const long = item("long", { cost: cost({ promptTokens: 500 }) });
    const busy = { members: 4, kvBytes: 100, prefillTokens: 199 };
    expect(placed(decide([long], [worker("w")]))).toEqual(["long@w"]);
    expect(decide([long], [worker("w", [], { free: busy })])).toEqual([]);
  });

  it("gives an item that must run alone an empty worker, and nobody else with it", () => {
    const alone = item("alone", { alone: true, arrivedAt: now - 9 });
    const beside = decide([alone, item("b")], [full("w", "normal"), worker("v")]);
    expect(placed(beside)).toEqual(["alone@v", "b@w"]);
    expect(placed(decide([alone, item("b")], [worker("v")]))).toEqual(["alone@v"]);
    expect(decide([item("b")], [worker("w", [running("x", "normal")], { held: true })])).toEqual(
      [],
    );
  });

  it("gives it no worker that prepares somebody, and keeps one for it", () => {
    const alone = item("alone", { alone: true, arrivedAt: now - 9 });
    const preparing = worker("w", [], { preparing: true });
    expect(placed(decide([alone], [preparing, worker("v")]))).toEqual(["alone@v"]);
    expect(decide([alone, item("b")], [preparing])).toEqual([]);
    expect(placed(decide([item("b")], [preparing]))).toEqual(["b@w"]);
  });

  it("refuses what no worker of its key could ever hold, with the limit", () => {
    const huge = item("huge", { cost: cost({ kvBytes: 101 }) });
    expect(decide([huge], [worker("w"), worker("v", [], { key: "other" })])).toEqual([
      { kind: "refuse", requestId: "huge", resource: "kvBytes", needed: 101, limit: 100 },
    ]);
    const bigger = worker("v", [], { capacity: { members: 1, kvBytes: 200, prefillTokens: 9 } });
    expect(decide([huge], [worker("w"), bigger]).filter(({ kind }) => kind === "refuse")).toEqual(
      [],
    );
  });

  it("lets an item without any worker of its key wait", () => {
    expect(decide([item("a", { key: "none" })], [worker("w")])).toEqual([]);
    expect(placed(decide([item("a", { key: "none" }), item("b")], [worker("w")]))).toEqual(["b@w"]);
  });
});

describe("head of the line", () => {
  const big = item("big", { cost: cost({ kvBytes: 95 }), arrivedAt: now - 9 });
  const small = item("small");

  it("keeps what is small from passing what is big on the worker that it waits for", () => {
    expect(decide([big, small], [full("w", "normal")])).toEqual([]);
  });

  it("still fills the other workers", () => {
    const decisions = decide([big, small], [full("w", "normal"), full("v", "normal", "normal")]);
    expect(placed(decisions)).toEqual(["small@v"]);
  });

  it("waits only for a worker that could ever hold it", () => {
    const little = worker("v", [], {
      capacity: { members: 4, kvBytes: 50, prefillTokens: 200 },
      free: { members: 4, kvBytes: 50, prefillTokens: 200 },
    });
    expect(placed(decide([big, small], [full("w", "normal", "normal"), little]))).toEqual([
      "small@v",
    ]);
  });
});

describe("placement", () => {
  const cached = (tokens: number, workerId = "w") =>
    item("a", { prefixes: [{ workerId, tokens }] });

  it("takes the lightest worker", () => {
    expect(placed(decide([item("a")], [full("w", "normal"), worker("v")]))).toEqual(["a@v"]);
    expect(placed(decide([item("a"), item("b")], [worker("w"), worker("v")]))).toEqual([
      "a@w",
      "b@v",
    ]);
  });

  it("prefers the longest cached prefix", () => {
    const workers = [worker("v"), full("w", "normal", "normal")];
    expect(placed(decide([cached(policy.prefixMin)], workers))).toEqual(["a@w"]);
    const longer = item("a", {
      prefixes: [
        { workerId: "v", tokens: 100 },
        { workerId: "w", tokens: 200 },
      ],
    });
    expect(placed(decide([longer], workers))).toEqual(["a@w"]);
  });

  it("ignores a prefix that is too short to matter", () => {
    const workers = [worker("v"), full("w", "normal")];
    expect(placed(decide([cached(policy.prefixMin - 1)], workers))).toEqual(["a@v"]);
  });

  it("ignores a prefix on a worker that is too far above the lightest", () => {
    const workers = [worker("v"), full("w", "normal", "normal")];
    const strict = (imbalanceMax: number) =>
      placed(decide([cached(900)], workers, { policy: { ...policy, imbalanceMax } }));
    expect(strict(2)).toEqual(["a@w"]);
    expect(strict(1)).toEqual(["a@v"]);
  });

  it("does not wait for a prefix", () => {
    const workers = [full("w", "normal", "normal", "normal", "normal"), worker("v")];
    expect(placed(decide([cached(900)], workers))).toEqual(["a@v"]);
  });
});

describe("preemption", () => {
  const chat = item("chat", { priority: "interactive" });
  const preempt = (requestId: string, workerId = "w") => ({
    kind: "preempt",
    requestId,
    workerId,
    inFavourOf: "chat",
  });

  it("takes the newest of the lowest class back", () => {
    const mixed = full("w", "batch", "batch", "normal", "normal");
    expect(decide([chat], [mixed])).toEqual([preempt("w1")]);
  });

  it("looks at all workers for the lowest class", () => {
    const normal = full("w", "normal", "normal", "normal", "normal");
    const bulk = full("v", "normal", "normal", "batch", "normal");
    expect(decide([chat], [normal, bulk])).toEqual([preempt("v2", "v")]);
  });

  it("touches nothing of the same class, of a higher one, or what has aged", () => {
    expect(decide([chat], [full("w", ...Array(4).fill("interactive"))])).toEqual([]);
    expect(
      decide([item("bulk", { priority: "batch" })], [full("w", ...Array(4).fill("normal"))]),
    ).toEqual([]);
    const old = Array.from({ length: 4 }, (_, index) =>
      running(`old${index}`, "batch", { arrivedAt: now - 2 * policy.ageingMs }),
    );
    expect(decide([chat], [worker("w", old)])).toEqual([]);
  });

  it("counts the class of who asks without ageing", () => {
    const aged = item("aged", { priority: "batch", arrivedAt: 0 });
    expect(decide([aged], [full("w", ...Array(4).fill("normal"))])).toEqual([]);
  });

  it("is not done while there is room, or room is on its way", () => {
    expect(placed(decide([chat], [full("w", "batch", "batch", "batch")]))).toEqual(["chat@w"]);
    const leaving = [0, 1, 2, 3].map((index) =>
      running(`r${index}`, "batch", { preemptible: index > 0 }),
    );
    expect(decide([chat], [worker("w", leaving)])).toEqual([]);
  });

  it("is not done for prefill tokens, which come back by themselves", () => {
    const busy = worker("w", [running("r")], {
      free: { members: 3, kvBytes: 90, prefillTokens: 10 },
    });
    expect(decide([chat], [busy])).toEqual([]);
  });

  it("takes as many as are needed and no more, or none", () => {
    const wide = item("chat", { priority: "interactive", cost: cost({ kvBytes: 70 }) });
    const four = full("w", "batch", "batch", "batch", "batch");
    expect(decide([wide], [four])).toEqual([preempt("w3")]);
    const wider = item("chat", { priority: "interactive", cost: cost({ kvBytes: 80 }) });
    expect(decide([wider], [four])).toEqual([preempt("w3"), preempt("w2")]);
    expect(
      decide([wider], [full("w", "normal", "interactive", "interactive", "interactive")]),
    ).toEqual([]);
  });

  it("gives the room to who it was made for", () => {
    const bulk = item("bulk", { priority: "batch" });
    expect(decide([chat, bulk], [full("w", "batch", "batch", "batch", "batch")])).toEqual([
      preempt("w3"),
    ]);
  });

  it("is never done for one that must run alone", () => {
    const alone = item("chat", { priority: "interactive", alone: true });
    expect(decide([alone], [full("w", "batch")])).toEqual([]);
  });

  it("can be switched off", () => {
    const off = { policy: { ...policy, preempt: false } };
    expect(decide([chat], [full("w", "batch", "batch", "batch", "batch")], off)).toEqual([]);
  });
});
