import { describe, expect, it } from "vitest";
import type { LogEntry, Response } from "../../../src-ts/engine/api.js";
import type { PrepareInput } from "../../../src-ts/worker/messages.js";
import { Sim, settle, submission, tokensOf, wordAt } from "./sim.js";

const window = 2;
const words = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => wordAt(from + i)).join("");
const kinds = (response: Response): string[] => response.entries.map(({ kind }) => kind);

async function begin(sim: Sim, changes = {}): Promise<Response> {
  const response = await sim.engine.submit(submission(changes));
  await sim.clock.advance(window);
  return response;
}

describe("a worker is told", () => {
  it.each(["text", "parse"] as const)("what control tokens are: %s", async (controlTokens) => {
    const sim = await new Sim({ controlTokens }).start();
    const [load] = sim.worker.sent;
    expect(load).toMatchObject({ type: "load", options: { controlTokens } });
  });

  it.each([0, 4, 8] as const)("how many bits its KV cache has: %s", async (kvBits) => {
    const sim = await new Sim({ kvBits }).start();
    const [load] = sim.worker.sent;
    expect(load).toMatchObject({ type: "load", options: { kvBits } });
  });

  it.each([
    ["own", "key:a"],
    ["all", undefined],
  ] as const)("whose computed prompts it may share: %s", async (prefixSharing, salt) => {
    const sim = await new Sim({ prefixSharing }).start();
    await begin(sim, { owner: "key:a" });
    const prepared = sim.worker.sent.find(({ type }) => type === "prepare");
    const admitted = [...sim.worker.running.values()].map(({ admission }) => admission.salt);
    expect([prepared && "salt" in prepared ? prepared.salt : undefined, ...admitted]).toEqual([
      salt,
      salt,
    ]);
  });

  it.each<[PrepareInput, boolean]>([
    [{ kind: "chat", messages: [] }, true],
    [{ kind: "text", text: "Once" }, false],
    [{ kind: "tokens", tokens: new Uint8Array(4) }, false],
  ])("whether a text begins a turn: %j", async (input, chat) => {
    const sim = await new Sim().start();
    await begin(sim, { input });
    expect([...sim.worker.running.values()].map(({ admission }) => admission.chat)).toEqual([chat]);
  });
});

describe("one request", () => {
  it("goes from created to its end, every entry numbered once", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    sim.worker.prefill();
    for (let i = 0; i < 5; i++) {
      sim.worker.step();
      await settle();
    }
    expect(kinds(response)).toEqual([
      "created",
      "inProgress",
      "itemAdded",
      "partAdded",
      ...Array(5).fill("delta"),
      "textDone",
      "partDone",
      "itemDone",
      "ended",
    ]);
    expect(response.text).toBe(words(0, 5));
    expect(response.ending).toEqual({ kind: "length" });
    expect(response.tokens).toEqual([1000, 1001, 1002, 1003, 1004]);
    expect((response.entries.at(-1) as Extract<LogEntry, { kind: "ended" }>).usage).toEqual({
      promptTokens: 5,
      cachedTokens: 0,
      completionTokens: 5,
      reasoningTokens: 0,
    });
  });

  it("coalesces the tokens of one turn before it numbers them", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim, { maxTokens: 9 });
    sim.worker.step();
    sim.worker.step();
    sim.worker.step();
    await settle();
    const deltas = response.entries.filter(({ kind }) => kind === "delta");
    expect(deltas).toEqual([{ kind: "delta", index: 0, part: 0, text: words(0, 3), tokens: 3 }]);
  });

  it("waits for others only while some are on their way", async () => {
    const sim = await new Sim().start();
    await sim.engine.submit(submission());
    await sim.clock.advance(0);
    expect(sim.worker.running.size).toBe(1);
    sim.options.holdPrepares = true;
    const third = sim.engine.submit(submission());
    await settle();
    sim.options.holdPrepares = false;
    await sim.engine.submit(submission());
    await sim.clock.advance(0);
    expect(sim.worker.running.size).toBe(1);
    await sim.clock.advance(window);
    expect(sim.worker.running.size).toBe(2);
    sim.worker.prepareHeld();
    await third;
    await sim.clock.advance(0);
    expect(sim.worker.running.size).toBe(3);
  });

  it("is queued only if it is not started at once", async () => {
    const sim = await new Sim({ maxBatch: 1 }).start();
    const first = await begin(sim);
    const second = await begin(sim);
    expect(kinds(first)).toEqual(["created", "inProgress"]);
    expect(kinds(second)).toEqual(["created", "queued"]);
    sim.worker.end([...sim.worker.running.keys()][0]!, "stop");
    await sim.clock.advance(window);
    expect(kinds(second)).toEqual(["created", "queued", "inProgress"]);
  });

  it("ends with the text that the worker held back", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    sim.worker.step();
    sim.worker.end([...sim.worker.running.keys()][0]!, "stop", "tail");
    await settle();
    expect(response.text).toBe(`${wordAt(0)}tail`);
    expect(response.ending).toEqual({ kind: "stop" });
  });
});

describe("sampling", () => {
  it("takes the model's defaults for what the request leaves out", async () => {
    const sim = await new Sim().start();
    const { sampling } = submission();
    const response = await begin(sim, {
      sampling: { ...sampling, temperature: undefined, topK: undefined, topP: 1 },
    });
    const [admitted] = [...sim.worker.running.values()];
    expect(admitted!.admission.sampling).toMatchObject({ temperature: 0.6, topK: 5, topP: 1 });
    expect(response.sampling).toEqual(admitted!.admission.sampling);
  });

  it.each([
    [7, 7n],
    [-1, 2n ** 64n - 1n],
    [2n ** 64n - 2n, 2n ** 64n - 2n],
    [2n ** 64n, 0n],
  ])("takes the seed %d of a program modulo 2^64", async (seed, expected) => {
    const sim = await new Sim().start();
    const { sampling } = submission();
    await begin(sim, { sampling: { ...sampling, seed } });
    const [admitted] = [...sim.worker.running.values()];
    expect(admitted!.admission.sampling.seed).toBe(expected);
  });

  it("turns away a seed that is no integer", async () => {
    const sim = await new Sim().start();
    const { sampling } = submission();
    const refused = begin(sim, { sampling: { ...sampling, seed: 1.5 } });
    await expect(refused).rejects.toMatchObject({ status: 400, param: "seed" });
  });
});

describe("what is turned away before it is accepted", () => {
  it.each([
    ["an unknown model", { model: "x" }, 404, "model_not_found", "model"],
    [
      "a prompt that can't be rendered",
      { input: { kind: "text", text: "refuse me" } },
      400,
      "invalid_prompt",
      "input",
    ],
    [
      "a prompt that fills the context",
      { input: { kind: "text", text: "x".repeat(1000) } },
      400,
      "context_length_exceeded",
      "input",
    ],
  ])("%s", async (_name, changes, status, code, param) => {
    const sim = await new Sim().start();
    const refused = sim.engine.submit(submission(changes as object));
    await expect(refused).rejects.toMatchObject({ status, code, param });
  });

  it("a prompt, by the name that the engine has for it, in words too", async () => {
    const sim = await new Sim().start();
    const refused = sim.engine.submit(submission({ input: { kind: "text", text: "refuse me" } }));
    const message = "input: unknown role, of messages";
    await expect(refused).rejects.toMatchObject({ param: "input", message });
  });

  it("without a name that a client made up among what observers hear", async () => {
    const sim = await new Sim().start();
    const heard: unknown[] = [];
    sim.engine.observe({ refused: (info) => heard.push(info) });
    await expect(sim.engine.submit(submission({ model: "invented" }))).rejects.toThrow();
    expect(heard).toEqual([
      { code: "model_not_found", status: 404, model: undefined, operation: "completion" },
    ]);
  });

  it("an empty prompt", async () => {
    const sim = await new Sim().start();
    const empty = submission({ input: { kind: "text", text: "" } });
    await expect(sim.engine.submit(empty)).rejects.toMatchObject({ code: "invalid_prompt" });
  });

  it("names the limit when the prompt is too long", async () => {
    const sim = await new Sim().start();
    const long = submission({ input: { kind: "text", text: "x".repeat(1200) } });
    await expect(sim.engine.submit(long)).rejects.toThrow(/1200 tokens.*1000/);
  });

  it("more KV cache than any worker has", async () => {
    const limits = {
      contextMax: 1000,
      kvBytesPerToken: 1,
      kvBytesFixed: 0,
      weightsBytes: 0,
      kvBudgetBytes: 8,
      kvAloneBytes: 8,
      kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
    };
    const sim = await new Sim({}, { limits }).start();
    await expect(sim.engine.submit(submission())).rejects.toMatchObject({
      code: "memory_budget_exceeded",
      status: 400,
    });
  });

  it("more than the queue holds, and nobody else", async () => {
    const sim = await new Sim({ maxBatch: 1, queueMax: 2 }).start();
    const running = await begin(sim);
    await begin(sim);
    await begin(sim);
    await expect(sim.engine.submit(submission())).rejects.toMatchObject({
      code: "queue_full",
      status: 429,
      retryAfterS: 1,
    });
    expect(running.ending).toBeUndefined();
  });

  it("a deadline that passes while preparing", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const refused = sim.engine.submit(submission({ deadlineMs: 100 }));
    const check = expect(refused).rejects.toMatchObject({ code: "deadline_exceeded", status: 504 });
    await sim.clock.advance(150);
    await check;
    expect(sim.engine.workers()[0]).toMatchObject({ preparing: 0 });
  });

  it("an abort while preparing", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const abort = new AbortController();
    const refused = sim.engine.submit(submission(), abort.signal);
    abort.abort();
    await expect(refused).rejects.toMatchObject({ code: "cancelled", status: 499 });
    sim.worker.prepareHeld();
    await settle();
    expect(sim.engine.workers()[0]).toMatchObject({ preparing: 0, running: 0 });
  });
});

describe("cancel and deadline free the slot in every state", () => {
  const phases: [string, (sim: Sim) => void][] = [
    ["before the worker has heard of it", () => undefined],
    ["prefilling", (sim) => sim.worker.prefill()],
    ["decoding", (sim) => sim.worker.step()],
  ];
  for (const [phase, reach] of phases) {
    it(`cancel while ${phase}`, async () => {
      const sim = await new Sim().start();
      const response = await sim.engine.submit(submission());
      if (phase !== phases[0]![0]) await sim.clock.advance(window);
      reach(sim);
      await settle();
      response.cancel();
      await settle();
      expect(response.ending).toEqual({ kind: "cancelled" });
      expect(sim.engine.workers()[0]).toMatchObject({ running: 0, queued: 0 });
      expect(sim.worker.running.size).toBe(0);
    });
  }

  it("cancel while queued", async () => {
    const sim = await new Sim({ maxBatch: 1 }).start();
    await begin(sim);
    const waiting = await begin(sim);
    waiting.cancel();
    expect(waiting.ending).toEqual({ kind: "cancelled" });
    expect(sim.engine.workers()[0]).toMatchObject({ running: 1, queued: 0 });
  });

  it("a deadline while decoding", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim, { deadlineMs: 50 });
    sim.worker.step();
    await sim.clock.advance(60);
    expect(response.ending).toEqual({ kind: "expired" });
    expect(sim.engine.workers()[0]).toMatchObject({ running: 0 });
  });

  it("tokens that come after the cancel are not logged", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    sim.worker.step();
    await settle();
    response.cancel();
    sim.worker.step();
    await settle();
    expect(response.tokens).toEqual([1000]);
  });
});

describe("a worker dies", () => {
  it("and the stream goes on where it was, with nothing lost or doubled", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim, { maxTokens: 6 });
    sim.worker.step();
    sim.worker.step();
    await settle();
    const dead = sim.worker;
    dead.die(-9, "SIGKILL");
    await sim.clock.advance(10);
    expect(sim.worker).not.toBe(dead);
    const [admitted] = [...sim.worker.running.values()];
    expect(tokensOf(admitted!.admission).emitted).toEqual([1000, 1001]);
    for (let i = 0; i < 4; i++) sim.worker.step();
    await settle();
    expect(response.text).toBe(words(0, 6));
    expect(response.ending).toEqual({ kind: "length" });
  });

  it("while it prepares, and another does it", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const submitted = sim.engine.submit(submission());
    await settle();
    sim.worker.die(1);
    await sim.clock.advance(200);
    sim.worker.prepareHeld();
    expect((await submitted).promptTokens.length).toBe(5);
  });

  it("three times under one request, which fails alone; its mate is whole", async () => {
    const sim = await new Sim().start();
    const mate = await begin(sim, { maxTokens: 40 });
    const poison = await begin(sim, { input: { kind: "text", text: "poison" } });
    const runsPoison = (): boolean =>
      [...sim.worker.running.values()].some(({ admission }) => admission.prompt.length === 24);
    for (let round = 0; round < 100 && poison.ending === undefined; round++) {
      if (runsPoison()) {
        sim.worker.stepOne((admission) => admission.prompt.length !== 24);
        await settle();
        sim.worker.die(1);
      } else sim.worker.step();
      await sim.clock.advance(1000);
    }
    expect(poison.ending).toMatchObject({ kind: "failed", code: "worker_crashed" });
    expect(poison.text).toBe("");
    expect(mate.ending).toEqual({ kind: "length" });
    expect(mate.text).toBe(words(0, 40));
  });

  it("stalls, is killed, and its work goes on elsewhere", async () => {
    const sim = await new Sim({ workersPerModel: 2 }).start();
    const response = await begin(sim, { maxTokens: 3 });
    const busy = sim.spawned.find(({ running }) => running.size > 0)!;
    await sim.clock.advance(11_000);
    expect(busy.signals).toContain("SIGKILL");
    const next = sim.spawned.find(({ running, alive }) => alive && running.size > 0)!;
    for (let i = 0; i < 3; i++) next.step();
    await settle();
    expect(response.text).toBe(words(0, 3));
  });

  it("says a token out of order, is broken, and nothing of it is forwarded", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    const liar = sim.worker;
    const [id] = [...liar.running.keys()];
    liar.say({ type: "step", step: 1, rows: [[id!, 3, 7, "lie"]] });
    await sim.clock.advance(1000);
    expect(liar.signals).toContain("SIGKILL");
    expect(response.text).toBe("");
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(response.text).toBe(words(0, 5));
  });

  it("says a token out of order of who is preempted, and is broken all the same", async () => {
    const sim = await new Sim({ maxBatch: 1 }).start();
    const response = await begin(sim, { priority: "batch" });
    const liar = sim.worker;
    const [id] = [...liar.running.keys()];
    liar.running.clear(); // so that it does not answer the abort
    await begin(sim, { priority: "interactive" });
    expect(liar.sent.at(-1)).toMatchObject({ type: "abort", ids: [id] });
    liar.say({ type: "step", step: 1, rows: [[id!, 3, 7, "lie"]] });
    await sim.clock.advance(1000);
    expect(liar.signals).toContain("SIGKILL");
    expect(response.text).toBe("");
  });

  it("lies of one request in the turn in which it told the truth of another", async () => {
    const sim = await new Sim().start();
    const honest = await begin(sim);
    await begin(sim);
    const liar = sim.worker;
    const [first, second] = [...liar.running.keys()];
    liar.say({ type: "step", step: 1, rows: [[first!, 0, 1000, wordAt(0)]] });
    liar.say({ type: "aborted", id: second! });
    await sim.clock.advance(1000);
    expect(honest.tokens).toEqual([1000]);
    expect(honest.text).toBe(words(0, 1));
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(honest.text).toBe(words(0, 5));
    expect(sim.spawned.length).toBe(2);
  });
});

describe("readers", () => {
  it("each see the same, from wherever they begin", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    const live = response.read(-1);
    const seen: LogEntry[] = [];
    const take = (): void => {
      for (let entry = live.next(); entry !== undefined; entry = live.next()) seen.push(entry);
    };
    live.onReady(take);
    for (let i = 0; i < 5; i++) {
      sim.worker.step();
      await settle();
    }
    expect(seen).toEqual(response.entries);
    expect(live.finished).toBe(true);
    for (let after = -1; after < response.entries.length; after++) {
      const rest: LogEntry[] = [];
      for await (const entry of response.read(after)) rest.push(entry);
      expect(rest).toEqual(response.entries.slice(after + 1));
    }
  });

  it("can't begin in the future", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    expect(() => response.read(7)).toThrow(/starting_after must be between -1 and 1/);
  });

  it("gone, a response is cancelled, or after its grace, or never", async () => {
    const sim = await new Sim().start();
    const chat = await begin(sim, { abandonment: { kind: "cancel" } });
    const unstored = await begin(sim, { abandonment: { kind: "grace", ms: 500 } });
    const stored = await begin(sim, { abandonment: { kind: "keep" }, store: true });
    for (const response of [chat, unstored, stored]) response.read(-1).close();
    await settle();
    expect(chat.ending).toEqual({ kind: "cancelled" });
    await sim.clock.advance(400);
    const back = unstored.read(-1);
    await sim.clock.advance(400);
    expect(unstored.ending).toBeUndefined();
    back.close();
    await sim.clock.advance(600);
    expect(unstored.ending).toEqual({ kind: "cancelled" });
    expect(stored.ending).toBeUndefined();
  });

  it("are told of a migration beside the log", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    const notices: unknown[] = [];
    response.read(-1).onNotice((notice) => notices.push(notice));
    sim.worker.die(1);
    await settle();
    expect(notices).toEqual([{ kind: "migrated", attempt: 1, reason: "exited" }]);
  });
});

describe("the registry", () => {
  it("shows a response to its owner alone", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim, { owner: "a" });
    expect(sim.engine.get(response.id, "a")).toBe(response);
    expect(sim.engine.get(response.id, "b")).toBeUndefined();
    expect(sim.engine.cancel(response.id, "b")).toBe(false);
    expect(response.ending).toBeUndefined();
  });

  it("makes one response per idempotency key", async () => {
    const sim = await new Sim().start();
    const once = { idempotency: { key: "k", fingerprint: "1" } };
    const [a, b] = await Promise.all([begin(sim, once), begin(sim, once)]);
    expect(a).toBe(b);
    const other = submission({ idempotency: { key: "k", fingerprint: "2" } });
    await expect(sim.engine.submit(other)).rejects.toMatchObject({ status: 409 });
    const stranger = await begin(sim, { ...once, owner: "x" });
    expect(stranger).not.toBe(a);
  });

  it("forgets by age, and by bytes the oldest first", async () => {
    const sim = await new Sim({ retentionBytesMax: 2500, retentionMs: 1000 }).start();
    const responses: Response[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await begin(sim, { store: true, maxTokens: 1 });
      sim.worker.step();
      await settle();
      responses.push(response);
    }
    const found = responses.map(({ id }) => sim.engine.get(id, "o") !== undefined);
    expect(found[0]).toBe(false);
    expect(found[3]).toBe(true);
    await sim.clock.advance(2000);
    expect(sim.engine.get(responses[3]!.id, "o")).toBeUndefined();
  });
});

describe("drain and close", () => {
  it("finishes what runs and takes nothing new", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    const drained = sim.engine.drain(10_000);
    await expect(sim.engine.submit(submission())).rejects.toMatchObject({
      code: "server_draining",
      status: 503,
    });
    expect(sim.engine.readiness()).toMatchObject({ ready: false, reason: "draining" });
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    await drained;
    expect(response.ending).toEqual({ kind: "length" });
  });

  it("fails what does not end in time", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    const drained = sim.engine.drain(1000);
    await sim.clock.advance(1100);
    await drained;
    expect(response.ending).toMatchObject({ kind: "failed", code: "server_shutdown" });
  });

  it("leaves no process and no timer", async () => {
    const sim = await new Sim({ workersPerModel: 2 }).start();
    await begin(sim, { deadlineMs: 60_000 });
    await sim.engine.close();
    expect(sim.spawned.some(({ alive }) => alive)).toBe(false);
    expect(sim.clock.pendingTimers).toBe(0);
  });
});

describe("a signal", () => {
  it("that reaches only preparing ones leaves what was accepted in the same turn", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const begun = async (reach: "preparing" | "always"): Promise<Response> => {
      const abort = new AbortController();
      const submitted = sim.engine.submit(submission(), abort.signal, reach);
      await settle();
      sim.worker.prepareHeld();
      abort.abort();
      return submitted;
    };
    const left = await begun("preparing");
    const cancelled = await begun("always");
    await sim.clock.advance(window);
    sim.worker.prefill();
    await settle();
    expect(left.ending).toBeUndefined();
    expect(cancelled.ending).toEqual({ kind: "cancelled" });
  });
});
