import { describe, expect, it } from "vitest";
import { Sim, settle, submission, tokensOf, wordAt } from "./sim.js";

const words = (to: number): string => Array.from({ length: to }, (_, i) => wordAt(i)).join("");

describe("loading", () => {
  it("that fails is told at once, with its reason", async () => {
    const sim = new Sim({}, { loadFails: true });
    const ready = sim.engine.whenReady();
    sim.engine.start();
    await expect(ready).rejects.toMatchObject({ code: "tokenizer_missing" });
    expect(sim.engine.readiness()).toMatchObject({ ready: false });
    expect(sim.engine.workers()[0]).toMatchObject({ reason: "no tokenizer.json" });
  });

  it("that fails again and again opens the circuit; a probe closes it", async () => {
    const sim = new Sim({}, { loadFails: true });
    sim.engine.whenReady().catch(() => undefined);
    sim.engine.start();
    const waiting = sim.engine.submit(submission());
    const refused = expect(waiting).rejects.toMatchObject({ code: "no_worker", status: 503 });
    await sim.clock.advance(60_000);
    expect(sim.engine.workers()[0]).toMatchObject({ state: "broken" });
    await refused;
    await expect(sim.engine.submit(submission())).rejects.toMatchObject({ status: 503 });
    sim.options.loadFails = false;
    await sim.clock.advance(31_000);
    expect(sim.engine.readiness()).toEqual({ ready: true });
    const response = await sim.engine.submit(submission({ maxTokens: 1 }));
    await sim.clock.advance(5);
    sim.worker.step();
    await settle();
    expect(response.text).toBe(words(1));
  });
});

describe("a restart", () => {
  it("loses nothing and is no strike", async () => {
    const sim = await new Sim().start();
    const response = await sim.engine.submit(submission());
    for (let round = 0; round < 4; round++) {
      await sim.clock.advance(5);
      expect(sim.engine.restartWorker("w1")).toBe(true);
      await sim.clock.advance(100);
    }
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(response.text).toBe(words(5));
    expect(sim.engine.workers()[0]).toMatchObject({ restarts: 4, epoch: 5 });
  });

  it("of an unknown worker is refused", async () => {
    const sim = await new Sim().start();
    expect(sim.engine.restartWorker("w9")).toBe(false);
  });
});

describe("preemption", () => {
  it("gives the slot to a higher class and keeps the tokens of the lower one", async () => {
    const sim = await new Sim({ maxBatch: 1 }).start();
    const low = await sim.engine.submit(submission({ priority: "batch", maxTokens: 6 }));
    await sim.clock.advance(5);
    sim.worker.step();
    sim.worker.step();
    await settle();
    const high = await sim.engine.submit(submission({ priority: "interactive", maxTokens: 2 }));
    await sim.clock.advance(5);
    sim.worker.step();
    sim.worker.step();
    await sim.clock.advance(5);
    expect(high.ending).toEqual({ kind: "length" });
    const [again] = [...sim.worker.running.values()];
    expect(tokensOf(again!.admission).emitted).toEqual([1000, 1001]);
    for (let i = 0; i < 4; i++) sim.worker.step();
    await settle();
    expect(low.text).toBe(words(6));
  });
});

describe("several models", () => {
  it("are served each by its own workers", async () => {
    const models = ["a", "b"].map((id) => ({ id, kind: "fake" as const, path: "" }));
    const sim = await new Sim({ models }).start();
    await sim.engine.submit(submission({ model: "b" }));
    await sim.clock.advance(5);
    const busy = sim.spawned.filter(({ running }) => running.size > 0);
    expect(busy.map(({ spec }) => spec.model.id)).toEqual(["b"]);
    expect(sim.engine.models().map(({ id, isDefault }) => [id, isDefault])).toEqual([
      ["a", true],
      ["b", false],
    ]);
  });
});
