import { describe, expect, it, vi } from "vitest";
import { nativeFigures, nativeParts } from "../support/native-figures.js";
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

describe("a native part that is required and missing", () => {
  const missing = {
    code: "native_missing",
    message: "native part pool is required but off: krserve_native is not built",
  };

  it("is told by the first worker that lacks it, to those who ask later too", async () => {
    const sim = new Sim({}, { loadFails: true, loadFailure: missing });
    const ready = sim.engine.whenReady();
    sim.engine.start();
    await expect(ready).rejects.toMatchObject({ code: "native_missing", status: 503 });
    expect(sim.spawned).toHaveLength(1);
    await expect(sim.engine.whenReady()).rejects.toThrow("native part pool is required but off");
    await sim.engine.close();
    await sim.clock.advance(120_000);
    expect(sim.spawned).toHaveLength(1);
  });

  it("is forgotten once a worker has loaded", async () => {
    const sim = new Sim({}, { loadFails: true, loadFailure: missing });
    sim.engine.start();
    await settle();
    await expect(sim.engine.whenReady()).rejects.toMatchObject({ code: "native_missing" });
    sim.options.loadFails = false;
    await sim.clock.advance(10_000);
    await expect(sim.engine.whenReady()).resolves.toBeUndefined();
    expect(sim.engine.workers()[0]).toMatchObject({ state: "ready", reason: undefined });
  });
});

describe("native figures", () => {
  const telemetry = {
    type: "telemetry",
    running: 1,
    waiting: 0,
    steps: 3,
    prefixCacheBytes: 0,
    prefixCacheShare: 0.5,
    prefixDiskFolder: "",
    prefixDiskBytes: 0,
    kvBytes: 10,
    memoryBytes: 20,
    native: nativeFigures,
  } as const;
  const { metrics, pool } = nativeFigures;

  it("are null until the worker has loaded, then what it says", async () => {
    const sim = new Sim();
    const native = () => sim.engine.workers()[0]?.native;
    expect(native()).toBeNull();
    await sim.start();
    expect(native()).toEqual({ parts: nativeParts, metrics: null, pool: null });
    sim.worker.say(telemetry);
    expect(native()).toEqual({ parts: nativeParts, metrics, pool });
    expect(sim.engine.workers()[0]?.telemetry).toEqual({
      running: 1,
      waiting: 0,
      steps: 3,
      prefixCacheBytes: 0,
      prefixCacheShare: 0.5,
      prefixDiskFolder: "",
      prefixDiskBytes: 0,
      kvBytes: 10,
      memoryBytes: 20,
    });
    sim.worker.say({ ...telemetry, native: { ...nativeFigures, pool: null } });
    expect(native()).toEqual({ parts: nativeParts, metrics, pool: null });
  });

  it("begin anew with a new process", async () => {
    const sim = await new Sim().start();
    sim.worker.say(telemetry);
    sim.engine.restartWorker("w1");
    await sim.clock.advance(100);
    const [worker] = sim.engine.workers();
    expect(worker).toMatchObject({ state: "ready", epoch: 2 });
    expect(worker?.native).toEqual({ parts: nativeParts, metrics: null, pool: null });
  });

  it("that are missing are a warning, and an orderly end of the process is none", async () => {
    const sim = new Sim();
    const log = vi.fn();
    sim.engine.observe({ log });
    await sim.start();
    expect(log).toHaveBeenCalledWith(
      "warn",
      "going on without native parts: metrics (krserve_native is <not> built)",
      { worker: "w1" },
    );
    log.mockClear();
    await sim.engine.close();
    expect(log.mock.calls.filter(([level]) => level === "warn")).toEqual([]);
  });

  it("or not, an end that nobody ordered is a warning, also with exit code 0", async () => {
    const sim = await new Sim().start();
    const log = vi.fn();
    sim.engine.observe({ log });
    sim.worker.die(0, "", "the last line");
    expect(log).toHaveBeenCalledWith("warn", "worker process ended", {
      worker: "w1",
      how: "exit code 0",
      output: "the last line",
    });
  });

  it("of a fault are logged and kept, and are in no error", async () => {
    const sim = await new Sim().start();
    const log = vi.fn();
    sim.engine.observe({ log });
    sim.worker.say({ type: "fault", code: "internal", message: "boom", native: nativeFigures });
    expect(log).toHaveBeenCalledWith("error", "worker fault", {
      worker: "w1",
      code: "internal",
      message: "boom",
      native: nativeFigures,
    });
    sim.worker.die();
    await settle();
    const [worker] = sim.engine.workers();
    expect(worker).toMatchObject({ state: "backoff", reason: "boom", native: { metrics, pool } });
    expect(JSON.stringify(sim.engine.readiness())).not.toContain("Requests");
  });
});

describe("a restart", () => {
  it("lets what runs end first, while what is new waits for the next process", async () => {
    const sim = await new Sim().start();
    const running = await sim.engine.submit(submission());
    await sim.clock.advance(5);
    expect(sim.engine.restartWorker("w1")).toBe(true);
    const waiting = sim.engine.submit(submission());
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(running.text).toBe(words(5));
    await sim.clock.advance(100);
    expect(sim.engine.workers()[0]).toMatchObject({ restarts: 1, epoch: 2 });
    const response = await waiting;
    for (let i = 0; i < 5; i++) sim.worker.step();
    await settle();
    expect(response.text).toBe(words(5));
  });

  it("that is asked for again comes at once, loses nothing and is no retry without progress", async () => {
    const sim = await new Sim().start();
    const response = await sim.engine.submit(submission());
    for (let round = 0; round < 4; round++) {
      await sim.clock.advance(5);
      expect(sim.engine.restartWorker("w1")).toBe(true);
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

describe("priority", () => {
  it("is told to the worker too, for the order of its prompts", async () => {
    const sim = await new Sim({ maxBatch: 3 }).start();
    for (const priority of ["batch", "normal", "interactive"] as const)
      await sim.engine.submit(submission({ priority }));
    await sim.clock.advance(5);
    const told = [...sim.worker.running.values()].map(({ admission }) => admission.priority);
    expect(told.sort()).toEqual(["batch", "interactive", undefined]);
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
