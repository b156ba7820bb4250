/** Native code that kills its worker is turned off; anything else that kills it is not held against it. */
import { describe, expect, it, vi } from "vitest";
import { NativeFaults } from "../../../../src-ts/engine/workers/native-faults.js";
import { nativeParts } from "../../support/native-figures.js";
import { Sim } from "../sim.js";

const off = { pool: { ...nativeParts.pool!, on: false } };

describe("two deaths", () => {
  it.each(["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"])(
    "of %s turn native parts off",
    (signal) => {
      const faults = new NativeFaults();
      expect(faults.died(signal, nativeParts)).toBe(false);
      expect(faults.verdict).toBeUndefined();
      expect(faults.died(signal, nativeParts)).toBe(true);
      expect(faults.verdict).toMatch(new RegExp(`2 deaths.*${signal}`));
    },
  );

  it("while loading count too: it may be what it loads", () => {
    const faults = new NativeFaults();
    expect([faults.died("SIGILL", undefined), faults.died("SIGILL", undefined)]).toEqual([
      false,
      true,
    ]);
  });

  it.each([
    ["SIGKILL", nativeParts],
    ["", nativeParts],
    ["SIGSEGV", off],
    ["SIGSEGV", {}],
  ])("of %j with parts %j are something else", (signal, parts) => {
    const faults = new NativeFaults();
    for (let i = 0; i < 5; i++) expect(faults.died(signal, parts)).toBe(false);
    expect(faults.verdict).toBeUndefined();
  });

  it("are told once", () => {
    const faults = new NativeFaults();
    const told = Array.from({ length: 4 }, () => faults.died("SIGBUS", nativeParts));
    expect(told).toEqual([false, true, false, false]);
  });
});

describe("a worker", () => {
  it("is started without native parts after the second death, with a warning", async () => {
    const sim = await new Sim().start();
    const log = vi.fn();
    sim.engine.observe({ log });
    const natives = () => sim.spawned.map(({ spec }) => spec.native);
    const die = async () => {
      sim.worker.die(0, "SIGSEGV");
      await sim.clock.advance(20_000);
    };
    await die();
    expect(natives()).toEqual([true, true]);
    expect(sim.engine.workers()[0]?.native).not.toHaveProperty("disabled", expect.anything());
    await die();
    expect(natives()).toEqual([true, true, false]);
    const verdict = "turned off after 2 deaths of the worker, the last by SIGSEGV";
    expect(log).toHaveBeenCalledWith("warn", `native parts: ${verdict}`, { worker: "w1" });
    expect(sim.engine.workers()[0]).toMatchObject({
      state: "ready",
      native: { disabled: verdict },
    });
    await die();
    expect(natives()).toEqual([true, true, false, false]);
  });
});
