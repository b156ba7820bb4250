/** Prompts that kill the worker that prepares them, and what can't even be sent to one: who pays, and who does not. */
import { describe, expect, it } from "vitest";
import type { Response, Submission } from "../../../src-ts/engine/api.js";
import { preparationDeathsMax, retriesMax } from "../../../src-ts/machines/Request.js";
import { frameBytesMax } from "../../../src-ts/worker/link.js";
import { Sim, type SimWorker, settle, submission } from "./sim.js";

const text = (text: string): Partial<Submission> => ({ input: { kind: "text", text } });
const chat = (content: string): Partial<Submission> => ({
  input: { kind: "chat", messages: [{ role: "user", content }] },
});

/** How a submission went, without a rejection that nobody waits for. */
function outcomeOf(sim: Sim, changes: Partial<Submission>): Promise<unknown> {
  return sim.engine.submit(submission(changes)).then(
    (response) => response,
    (error: unknown) => error,
  );
}

async function begin(sim: Sim, changes: object = {}): Promise<Response> {
  const response = await sim.engine.submit(submission(changes));
  await sim.clock.advance(2);
  return response;
}

const prepares = ({ sent }: SimWorker): number =>
  sent.filter(({ type }) => type === "prepare").length;
const stateOf = (sim: Sim) => sim.engine.workers().map(({ state }) => state);
const crashed = { code: "worker_crashed", status: 500 };

describe("a prompt that kills who prepares it", () => {
  it("fails after two deaths, and names its field", async () => {
    const sim = await new Sim().start();
    const error = outcomeOf(sim, text("venom"));
    await sim.clock.advance(1_000);
    expect(await error).toMatchObject({ ...crashed, param: "input", message: /died 2 times/ });
    expect(sim.spawned).toHaveLength(1 + preparationDeathsMax);
    expect(stateOf(sim)).toEqual(["ready"]);
    expect(sim.engine.workers()[0]).toMatchObject({ preparing: 0, running: 0 });
  });

  it("is known by its deaths alone, whatever it says", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const error = outcomeOf(sim, chat("hello"));
    for (let death = 0; death < 2; death++) {
      await settle();
      sim.worker.die(0, "SIGSEGV");
      await sim.clock.advance(200);
    }
    expect(await error).toMatchObject({ ...crashed, param: "input" });
  });

  it("that only looked so goes on: its second worker lives", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const submitted = sim.engine.submit(submission());
    await settle();
    sim.worker.die(1);
    await sim.clock.advance(200);
    sim.worker.prepareHeld();
    expect((await submitted).promptTokens).toHaveLength(5);
  });

  it("costs those who run there nothing but time", async () => {
    const sim = await new Sim().start();
    const running = [await begin(sim, { maxTokens: 9 }), await begin(sim, { maxTokens: 9 })];
    for (let round = 0; round < 2 * retriesMax; round++) {
      const error = outcomeOf(sim, text(`venom ${round}`));
      await sim.clock.advance(500);
      expect(await error).toMatchObject(crashed);
      // Every second time they get nowhere in between: a death that was theirs would be a retry without progress.
      if (round % 2 === 1) sim.worker.step();
    }
    expect(running.map(({ ending }) => ending)).toEqual([undefined, undefined]);
    for (let i = 0; i < 20; i++) {
      sim.worker.step();
      await sim.clock.advance(5);
    }
    expect(running.map(({ ending }) => ending?.kind)).toEqual(["length", "length"]);
    expect(stateOf(sim)).toEqual(["ready"]);
  });

  it("opens no circuit, however often it comes", async () => {
    const sim = await new Sim().start();
    for (let round = 0; round < 25; round++) {
      const error = outcomeOf(sim, text("venom"));
      await sim.clock.advance(100);
      expect(await error).toMatchObject(crashed);
      expect(stateOf(sim)).toEqual(["ready"]);
    }
    expect(sim.spawned).toHaveLength(51);
  });

  it("turns no native parts off", async () => {
    const sim = await new Sim().start();
    for (let round = 0; round < 3; round++) {
      void outcomeOf(sim, text("venom"));
      await sim.clock.advance(500);
    }
    expect(sim.spawned.every(({ spec }) => spec.native)).toBe(true);
  });

  it("is told from those beside it: each is tried alone", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const good = [outcomeOf(sim, text("a")), outcomeOf(sim, text("bb")), outcomeOf(sim, text("c"))];
    await settle();
    const bad = outcomeOf(sim, text("venom"));
    for (let i = 0; i < 20; i++) {
      await sim.clock.advance(100);
      const { worker } = sim;
      expect(worker.held.length, "tried alone").toBeLessThanOrEqual(1);
      worker.prepareHeld();
    }
    expect(await bad).toMatchObject(crashed);
    for (const [index, length] of [1, 2, 1].entries())
      expect(await good[index]).toMatchObject({ promptTokens: { length } });
    expect(sim.spawned).toHaveLength(3);
  });

  it("is tried before anybody is sent to the worker that has come up", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const submitted = sim.engine.submit(submission({ maxTokens: 9 }));
    await settle();
    sim.worker.prepareHeld();
    const running = await submitted;
    await sim.clock.advance(2);
    sim.worker.step();
    const suspect = outcomeOf(sim, text("who?"));
    await settle();
    sim.worker.die(1);
    await sim.clock.advance(500);
    expect(sim.worker.held).toHaveLength(1);
    expect(sim.worker.running.size).toBe(0);
    expect(sim.engine.readiness()).toEqual({ ready: true });
    sim.worker.prepareHeld();
    await sim.clock.advance(2);
    expect(sim.worker.running.size).toBe(2);
    expect(await suspect).toMatchObject({ promptTokens: { length: 4 } });
    expect(running.text).toBe("w0 ");
  });

  it("is tried where nobody is: the other worker's streams go on", async () => {
    const sim = await new Sim({ workersPerModel: 2 }).start();
    const running = [await begin(sim, { maxTokens: 50 }), await begin(sim, { maxTokens: 50 })];
    const before = sim.spawned.filter(({ alive }) => alive);
    const error = outcomeOf(sim, text("venom"));
    await sim.clock.advance(1_000);
    expect(await error).toMatchObject(crashed);
    expect(before.filter(({ alive }) => alive)).toHaveLength(1);
    expect(sim.spawned).toHaveLength(4);
    expect(running.every(({ ending }) => ending === undefined)).toBe(true);
  });

  it("that is cancelled is watched until its worker has answered", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const submitted = sim.engine.submit(submission());
    await settle();
    sim.worker.prepareHeld();
    const running = await submitted;
    await sim.clock.advance(2);
    for (let round = 0; round < retriesMax + 1; round++) {
      const gone = new AbortController();
      const error = sim.engine.submit(submission(text("x")), gone.signal).catch((e: unknown) => e);
      await settle();
      gone.abort();
      expect(await error).toMatchObject({ code: "cancelled" });
      sim.worker.die(0, "SIGSEGV");
      await sim.clock.advance(500);
    }
    expect(running.ending).toBeUndefined();
    expect(stateOf(sim)).toEqual(["ready"]);
  });

  it("that hangs instead is ended by the watchdog, and fails the second time", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const error = outcomeOf(sim, text("hangs"));
    await sim.clock.advance(30_000);
    expect(await error).toMatchObject(crashed);
    expect(stateOf(sim)).toEqual(["ready"]);
  });

  it("that takes long is waited for as long as its worker asks", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const submitted = sim.engine.submit(submission());
    await settle();
    sim.worker.say({ type: "busy", reason: "preparing a long prompt", allowanceMs: 60_000 });
    await sim.clock.advance(60_000);
    expect(sim.spawned).toHaveLength(1);
    sim.worker.prepareHeld();
    expect((await submitted).promptTokens).toHaveLength(5);
  });

  it("waits while a worker is restarted by order, and is no suspect for it", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const good = outcomeOf(sim, text("good"));
    for (let round = 0; round < 3; round++) {
      await settle();
      // The second time it is not waited for what the worker prepares.
      sim.engine.restartWorker("w1");
      sim.engine.restartWorker("w1");
      await sim.clock.advance(500);
    }
    expect(sim.spawned).toHaveLength(4);
    sim.worker.prepareHeld();
    expect(await good).toMatchObject({ promptTokens: { length: 4 } });
  });
});

describe("a request that kills who runs it", () => {
  it("comes to its retries without progress though somebody is being prepared at every death", async () => {
    const sim = await new Sim().start();
    const maxTokens = 9;
    const poison = await begin(sim, { ...text("poison"), maxTokens });
    const runs = () =>
      [...sim.worker.running.values()].some(({ admission }) => admission.maxTokens === maxTokens);
    let deaths = 0;
    for (let round = 0; round < 200 && poison.ending === undefined; round++) {
      if (sim.worker.alive && runs()) {
        sim.options.holdPrepares = true;
        void outcomeOf(sim, text("beside"));
        await settle();
        sim.options.holdPrepares = false;
        sim.worker.die(1);
        deaths++;
      }
      await sim.clock.advance(1_000);
      for (const worker of sim.spawned) worker.prepareHeld();
    }
    expect(poison.ending).toMatchObject({ kind: "failed", code: "worker_crashed" });
    expect(deaths).toBeLessThanOrEqual(retriesMax + 2);
  });
});

describe("what no frame can carry", () => {
  it.each([
    ["a text beyond the limit of a frame", text("x".repeat(frameBytesMax + 1)), 413],
    ["a chat beyond the limit of a frame", chat("x".repeat(frameBytesMax)), 413],
    ["a number that msgpack has no form for", chatWith({ n: 1n << 80n }), 400],
    ["an object that contains itself", chatWith(circular()), 400],
  ])("%s is refused, and costs nobody anything", async (_name, input, status) => {
    const sim = await new Sim().start();
    const running = await begin(sim);
    const code = status === 413 ? "request_too_large" : "invalid_request";
    const error = await outcomeOf(sim, input);
    expect(error).toMatchObject({ code, status, param: "input" });
    expect(sim.spawned).toHaveLength(1);
    expect(sim.engine.workers()[0]).toMatchObject({ preparing: 0, running: 1 });
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(running.ending).toEqual({ kind: "length" });
    expect(prepares(sim.worker)).toBe(1);
  });

  it("of an admission is refused alone: its mates start", async () => {
    const sim = await new Sim().start();
    const stops = ["x".repeat(frameBytesMax)];
    const [huge, ...mates] = await Promise.all([
      sim.engine.submit(submission({ sampling: { ...submission().sampling, stop: stops } })),
      sim.engine.submit(submission()),
      sim.engine.submit(submission()),
    ]);
    await sim.clock.advance(2);
    expect(huge!.ending).toMatchObject({ kind: "failed", code: "request_too_large" });
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(mates.map(({ ending }) => ending?.kind)).toEqual(["length", "length"]);
    expect(sim.engine.workers()[0]).toMatchObject({ running: 0 });
    expect(sim.spawned).toHaveLength(1);
  });
});

function circular(): object {
  const one: { self?: object } = {};
  one.self = one;
  return one;
}

function chatWith(content: object): Partial<Submission> {
  return { input: { kind: "chat", messages: [{ role: "user", content }] } };
}
