/** Workers that join and leave while the engine runs. */
import { describe, expect, it } from "vitest";
import { Sim, settle, submission, wordAt } from "./sim.js";

const words = (count: number) => Array.from({ length: count }, (_, i) => wordAt(i)).join("");

describe("a worker that joins", () => {
  it("takes the place of one that leaves, whose requests end there first", async () => {
    const sim = await new Sim().start();
    const running = await sim.engine.submit(submission());
    expect(sim.engine.addWorker("m")).toBe("w2");
    await sim.clock.advance(100);
    expect(sim.engine.workers().map(({ role }) => role)).toEqual(["active", "spare"]);
    const left = sim.engine.removeWorker("w1");
    const next = await sim.engine.submit(submission());
    const [first, second] = sim.spawned;
    for (let i = 0; i < 5; i++) first!.step();
    await settle();
    expect(running.text).toBe(words(5));
    await sim.clock.advance(100);
    expect(await left).toBe(true);
    expect(sim.engine.workers().map(({ id }) => id)).toEqual(["w2"]);
    for (let i = 0; i < 5; i++) second!.step();
    await settle();
    expect(next.text).toBe(words(5));
  });

  it("serves what has waited since the last one left", async () => {
    const sim = await new Sim().start();
    expect(await sim.engine.removeWorker("w1")).toBe(true);
    expect(sim.engine.readiness()).toMatchObject({ ready: false });
    const waiting = sim.engine.submit(submission());
    await settle();
    sim.engine.addWorker("m");
    await sim.clock.advance(100);
    const response = await waiting;
    for (let i = 0; i < 5; i++) sim.spawned.at(-1)!.step();
    await settle();
    expect(response.text).toBe(words(5));
  });

  it("is of a model that is served", async () => {
    const sim = await new Sim().start();
    expect(() => sim.engine.addWorker("other")).toThrow(/not served here/);
    expect(await sim.engine.removeWorker("w9")).toBe(false);
  });
});
