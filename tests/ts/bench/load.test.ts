import { describe, expect, it } from "vitest";
import { type LoadOptions, runClosedLoop } from "../../../src-ts/bench/load.js";
import { MemorySampler, treeMemory } from "../../../src-ts/bench/memory.js";
import { syntheticPrompt } from "../../../src-ts/bench/prompts.js";
import {
  type RequestBody,
  type RequestRecord,
  startRecord,
  type Target,
} from "../../../src-ts/bench/target.js";

/** A target that counts how many requests run at the same time. */
class CountingTarget implements Target {
  running = 0;
  mostRunning = 0;
  readonly prompts: string[] = [];

  constructor(readonly failure?: string) {}

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async run({ prompt }: RequestBody): Promise<RequestRecord> {
    const record = startRecord({ keepTexts: false });
    this.prompts.push(String(prompt));
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.running -= 1;
    return { ...record, endedAt: performance.now(), failure: this.failure };
  }
}

const load: LoadOptions = {
  streams: 4,
  maxTokens: 8,
  prompt: { tokens: 6 },
  until: { requests: 10 },
};

describe("runClosedLoop", () => {
  it("runs so many requests, so many at a time, each with its own prompt", async () => {
    const target = new CountingTarget();
    let seen = 0;
    const { records, wallMs } = await runClosedLoop(target, load, 0, () => {
      seen += 1;
    });
    expect(records).toHaveLength(10);
    expect(seen).toBe(10);
    expect(target.mostRunning).toBe(4);
    expect(new Set(target.prompts).size).toBe(10);
    expect(wallMs).toBeGreaterThan(0);
  });

  it("gives the same prompts for the same numbers, and others for others", async () => {
    const targets = [new CountingTarget(), new CountingTarget(), new CountingTarget()] as const;
    await runClosedLoop(targets[0], load, 0, () => {});
    await runClosedLoop(targets[1], load, 0, () => {});
    await runClosedLoop(targets[2], load, 1000, () => {});
    expect(targets[1].prompts).toEqual(targets[0].prompts);
    expect(targets[2].prompts.filter((prompt) => targets[0].prompts.includes(prompt))).toEqual([]);
  });

  it("ends every prompt as it is told", async () => {
    const target = new CountingTarget();
    const prompt = { tokens: 6, ending: ". Go on." };
    await runClosedLoop(target, { ...load, prompt }, 0, () => {});
    expect(target.prompts.every((text) => text.endsWith(". Go on."))).toBe(true);
    expect(new Set(target.prompts).size).toBe(10);
  });

  it("stops sending after its duration and finishes what runs", async () => {
    const target = new CountingTarget();
    const until = { durationMs: 20 };
    const { records } = await runClosedLoop(target, { ...load, until }, 0, () => {});
    expect(records.length).toBe(target.prompts.length);
    expect(target.running).toBe(0);
    expect(records.length).toBeGreaterThanOrEqual(4);
  });

  it("uses a fixed prompt for all, and keeps failures", async () => {
    const target = new CountingTarget("http_500");
    const options = { ...load, prompt: { text: "same" }, until: { requests: 4 } };
    const { records } = await runClosedLoop(target, options, 0, () => {});
    expect(target.prompts).toEqual(["same", "same", "same", "same"]);
    expect(records.map(({ failure }) => failure)).toEqual(Array(4).fill("http_500"));
  });
});

describe("syntheticPrompt", () => {
  it("has so many words", () => {
    expect(syntheticPrompt(3, 50).split(" ")).toHaveLength(50);
  });
});

describe("memory", () => {
  it("is read for a process and its tree", async () => {
    const memory = await treeMemory(process.pid);
    expect(memory!.ownBytes).toBeGreaterThan(1e6);
    expect(memory!.treeBytes).toBeGreaterThanOrEqual(memory!.ownBytes);
    const { treeBytes } = await new MemorySampler(process.pid).stop();
    expect(treeBytes).toBeGreaterThan(1e6);
  });

  it("is nothing for a process that isn't there", async () => {
    expect(await treeMemory(2 ** 30)).toBeUndefined();
  });
});
