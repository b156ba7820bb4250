/** Who takes work: spare workers, and workers that ran out of memory. */
import { describe, expect, it } from "vitest";
import type { Response } from "../../../src-ts/engine/api.js";
import { Sim, type SimWorker, settle, submission, wordAt } from "./sim.js";

const text = Array.from({ length: 5 }, (_, i) => wordAt(i)).join("");

const newest = (sim: Sim, id: string): SimWorker =>
  sim.spawned.filter(({ spec }) => spec.workerId === id).at(-1)!;
const role = (sim: Sim, id: string) => sim.engine.workers().find((one) => one.id === id)!.role;

async function begin(sim: Sim): Promise<Response> {
  const response = await sim.engine.submit(submission());
  await sim.clock.advance(2);
  return response;
}

async function finish(sim: Sim, worker: SimWorker): Promise<void> {
  await sim.clock.advance(2);
  for (let i = 0; i < 6; i++) {
    worker.step();
    await settle();
  }
}

function runOutOfMemory(worker: SimWorker): void {
  worker.say({ type: "fault", code: "out_of_memory", message: "no room" });
  worker.die(1);
}

describe("a spare worker", () => {
  it("stands by, and takes over at once when the one that works dies", async () => {
    const sim = await new Sim({ spareWorkersPerModel: 1 }).start();
    await settle();
    const response = await begin(sim);
    expect([role(sim, "w1"), role(sim, "w2")]).toEqual(["active", "spare"]);
    expect(newest(sim, "w2").running.size).toBe(0);
    newest(sim, "w1").step();
    await settle();
    newest(sim, "w1").die();
    await settle();
    await sim.clock.advance(2);
    expect(newest(sim, "w2").running.size).toBe(1);
    await finish(sim, newest(sim, "w2"));
    expect(response.text).toBe(text);
  });

  it("is whoever comes back: the one that died stands by", async () => {
    const sim = await new Sim({ spareWorkersPerModel: 1 }).start();
    await settle();
    newest(sim, "w1").die();
    await sim.clock.advance(1_000);
    expect([role(sim, "w1"), role(sim, "w2")]).toEqual(["spare", "active"]);
    await begin(sim);
    expect(newest(sim, "w2").running.size).toBe(1);
    expect(newest(sim, "w1").running.size).toBe(0);
  });

  it("makes an ordered restart invisible", async () => {
    const sim = await new Sim({ spareWorkersPerModel: 1 }).start();
    await settle();
    sim.engine.restartWorker("w1");
    const response = await begin(sim);
    await finish(sim, newest(sim, "w2"));
    expect(response.text).toBe(text);
  });
});

describe("a worker that ran out of memory", () => {
  it("gets half as many requests for a while, and all of them end", async () => {
    const sim = await new Sim({ maxBatch: 4 }).start();
    const responses = await Promise.all(Array.from({ length: 4 }, () => begin(sim)));
    expect(sim.worker.running.size).toBe(4);
    sim.worker.step();
    await settle();
    runOutOfMemory(sim.worker);
    await sim.clock.advance(1_000);
    expect(sim.worker.running.size).toBe(2);
    await finish(sim, sim.worker);
    await sim.clock.advance(2);
    expect(sim.worker.running.size).toBe(2);
    await finish(sim, sim.worker);
    expect(responses.map((response) => response.text)).toEqual(Array(4).fill(text));
  });

  it("gets all of them again when it starts later", async () => {
    const sim = await new Sim({ maxBatch: 4 }).start();
    await Promise.all(Array.from({ length: 4 }, () => begin(sim)));
    runOutOfMemory(sim.worker);
    await sim.clock.advance(1_000);
    await finish(sim, sim.worker);
    await finish(sim, sim.worker);
    await sim.clock.advance(60_000);
    sim.worker.die(1);
    await sim.clock.advance(1_000);
    await Promise.all(Array.from({ length: 4 }, () => begin(sim)));
    expect(sim.worker.running.size).toBe(4);
  });

  it("runs a request alone at last, and refuses one that is too big even so", async () => {
    const sim = await new Sim({ maxBatch: 4 }).start();
    const response = await begin(sim);
    for (let death = 0; death < 3; death++) {
      runOutOfMemory(sim.worker);
      await sim.clock.advance(2_000);
    }
    expect(response.ending).toMatchObject({ kind: "failed", code: "out_of_memory" });
  });
});
