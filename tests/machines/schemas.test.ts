import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { defaultPolicy, plan } from "../../src-ts/machines/Scheduler.js";
import { Batch, limits, Request, Scheduler, Worker } from "../../src-ts/machines/schemas.js";
import { decide, full, input, item, worker } from "./Scheduler.fixtures.js";
import * as batch from "./specimens/Batch.js";
import * as request from "./specimens/Request.js";
import * as process from "./specimens/Worker.js";
import { all, type Specimen } from "./support.js";

/** What a machine's types allow and its schema does not: counts that make no sense. */
const senseless: Record<string, string[]> = {
  Request: ["prepared no tokens", "restored no tokens", "tokens none"],
  Batch: [],
  Worker: ["pending below zero"],
};

const machines = {
  Request: { schemas: Request, ...request },
  Batch: { schemas: Batch, ...batch },
  Worker: { schemas: Worker, ...process },
};

const named = ({ value, when }: Specimen<{ kind: string }>) => `${value.kind} ${when}`.trim();

describe.each(Object.entries(machines))("%s", (name, { schemas, states, events }) => {
  const sayable = all<{ kind: string }>(events as never).filter(
    (one) => !senseless[name]!.includes(named(one)),
  );

  it("parses every state and gives it back as it was, through JSON too", () => {
    for (const { value } of all<{ kind: string }>(states as never)) {
      expect(schemas.state.parse(value)).toEqual(value);
      expect(schemas.state.parse(JSON.parse(JSON.stringify(value)))).toEqual(value);
    }
  });

  it("parses every event and gives it back as it was, through JSON too", () => {
    for (const { value } of sayable) {
      expect(schemas.event.parse(value)).toEqual(value);
      expect(schemas.event.parse(JSON.parse(JSON.stringify(value)))).toEqual(value);
    }
  });

  it("refuses an event with one field more or one field less", () => {
    for (const { value } of sayable) {
      expect(schemas.event.safeParse({ ...value, extra: 1 }).success).toBe(false);
      for (const field of Object.keys(value)) {
        const { [field as "kind"]: _, ...rest } = value;
        expect(schemas.event.safeParse(rest).success, `${value.kind} without ${field}`).toBe(false);
      }
    }
  });

  it("refuses numbers that make no sense", () => {
    const nonsense = all<{ kind: string }>(events as never).filter((one) => !sayable.includes(one));
    expect(nonsense.map(named)).toEqual(senseless[name]);
    for (const { value } of nonsense) expect(schemas.event.safeParse(value).success).toBe(false);
  });
});

describe("who may say what", () => {
  const parties: [string, z.ZodType, { kind: string }][] = [
    ["a client is no worker", Request.clientEvent, { kind: "aborted", ...leased() }],
    ["a client is no scheduler", Request.clientEvent, { kind: "preempt" }],
    ["a worker is no client", Request.workerEvent, { kind: "cancel" }],
    ["a worker is no supervisor", Worker.workerEvent, { kind: "stop" }],
    ["a worker is no process", Worker.workerEvent, { kind: "spawned", epoch: 1, pid: 1 } as never],
    ["a scheduler is no worker", Batch.schedulerEvent, { kind: "workerLost" }],
  ];
  it.each(parties)("%s", (_, schema, event) => {
    expect(schema.safeParse(event).success).toBe(false);
  });

  function leased() {
    return { lease: { workerId: "w", epoch: 1 } };
  }
});

describe("bounds", () => {
  it("of ids", () => {
    const dispatch = (workerId: string) => Request.event.safeParse({ kind: "dispatch", workerId });
    expect(dispatch("x".repeat(limits.idCharsMax)).success).toBe(true);
    expect(dispatch("x".repeat(limits.idCharsMax + 1)).success).toBe(false);
    expect(dispatch("").success).toBe(false);
  });

  it("of numbers: 32 bits, no fractions, nothing that is not a number", () => {
    const tokens = (count: number) =>
      Request.event.safeParse({
        kind: "tokens",
        lease: { workerId: "w", epoch: 1 },
        index: 0,
        count,
      }).success;
    expect(tokens(2 ** 31 - 1)).toBe(true);
    for (const bad of [2 ** 31, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(tokens(bad)).toBe(false);
  });

  it("of an allowance", () => {
    const busy = (allowanceMs: number) =>
      Worker.event.safeParse({ kind: "busy", epoch: 1, allowanceMs, at: 0 }).success;
    expect(busy(limits.allowanceMsMax)).toBe(true);
    expect(busy(limits.allowanceMsMax + 1)).toBe(false);
    expect(busy(-1)).toBe(false);
  });
});

describe("Scheduler", () => {
  const given = input(
    [item("a", { prefixes: [{ workerId: "w", tokens: 9 }] }), item("b", { deadlineAt: 5 })],
    [worker("w"), full("v", "batch")],
    { shares: [{ clientId: "c", credit: -1.5 }], policy: defaultPolicy },
  );

  it("parses what plan reads, an item without a deadline too", () => {
    expect(Scheduler.planInput.parse(given)).toEqual(given);
  });

  it("parses what plan decides", () => {
    const chat = item("chat", { priority: "interactive" });
    const huge = item("huge", { cost: { promptTokens: 1, newTokens: 1, kvBytes: 1e9 } });
    const decisions = [
      ...plan(given).decisions,
      ...decide([chat, huge], [full("w", "batch", "batch", "batch", "batch")]),
    ];
    expect(new Set(decisions.map(({ kind }) => kind))).toEqual(
      new Set(["dispatch", "preempt", "refuse"]),
    );
    for (const decision of decisions) expect(Scheduler.decision.parse(decision)).toEqual(decision);
  });

  it("refuses a policy without a quantum", () => {
    const policy = { ...defaultPolicy, quantumTokens: 0 };
    expect(Scheduler.policy.safeParse(policy).success).toBe(false);
  });
});
