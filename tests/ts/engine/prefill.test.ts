/** Requests of which only the prompt is wanted: computed, kept, and over without a token. */
import { describe, expect, it } from "vitest";
import type { LogEntry, Response, Submission } from "../../../src-ts/engine/api.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { open } from "../journal/support.js";
import { Sim, settle, submission, tokensOf, wordAt } from "./sim.js";

const window = 2;
const restartMsMax = 12_000;
const kinds = (response: Response): string[] => response.entries.map(({ kind }) => kind);
const usageOf = (response: Response) =>
  (response.entries.at(-1) as Extract<LogEntry, { kind: "ended" }>).usage;

async function begin(sim: Sim, changes: Partial<Submission> = {}): Promise<Response> {
  const response = await sim.engine.submit(submission({ maxTokens: 0, ...changes }));
  await sim.clock.advance(window);
  return response;
}

/** As a worker says that a prompt is done. */
async function finish(sim: Sim): Promise<void> {
  sim.worker.prefill();
  sim.worker.end([...sim.worker.running.keys()][0]!, "stop");
  await settle();
}

describe("a prompt alone", () => {
  it("completes without an item, and counts its tokens", async () => {
    const sim = await new Sim().start();
    const response = await begin(sim);
    expect([...sim.worker.running.values()][0]!.admission.maxTokens).toBe(0);
    await finish(sim);
    expect(kinds(response)).toEqual(["created", "inProgress", "ended"]);
    expect(response.ending).toEqual({ kind: "stop" });
    expect(usageOf(response)).toEqual({
      promptTokens: 5,
      cachedTokens: 0,
      completionTokens: 0,
      reasoningTokens: 0,
    });
    const next = await begin(sim, { maxTokens: 1 });
    sim.worker.step();
    await settle();
    expect(next.text).toBe(wordAt(0));
  });

  it("goes on elsewhere when its worker dies, wherever it stood", async () => {
    for (const prefilled of [false, true]) {
      const sim = await new Sim().start();
      const response = await begin(sim);
      const first = sim.worker;
      if (prefilled) first.prefill();
      first.die();
      await sim.clock.advance(restartMsMax);
      expect(sim.worker).not.toBe(first);
      const [again] = [...sim.worker.running.values()];
      expect(tokensOf(again!.admission)).toEqual({
        prompt: [104, 101, 108, 108, 111],
        emitted: [],
      });
      expect(again!.admission.maxTokens).toBe(0);
      await finish(sim);
      expect(kinds(response)).toEqual(["created", "inProgress", "ended"]);
      expect(response.ending).toEqual({ kind: "stop" });
    }
  });

  it("is cancelled, expires and fails without an item", async () => {
    const sim = await new Sim().start();
    const cancelled = await begin(sim);
    cancelled.cancel();
    await sim.clock.advance(window);
    const expired = await begin(sim, { deadlineMs: 50 });
    await sim.clock.advance(100);
    for (const [response, kind] of [
      [cancelled, "cancelled"],
      [expired, "expired"],
    ] as const) {
      expect(response.ending).toEqual({ kind });
      expect(kinds(response)).toEqual(["created", "inProgress", "ended"]);
    }
  });

  it("of a stored response goes on after the death of the server", async () => {
    const disk = new MemoryDisk();
    const boot = async (on: MemoryDisk, before?: Sim) => {
      const clock = before?.clock ?? new Sim().clock;
      const { journal } = await open(on, { segmentBytesMax: 1e6, clock });
      return new Sim({}, {}, { journal, clock, process: before ? "p2_" : "p1_" }).start();
    };
    const first = await boot(disk);
    const { id } = await begin(first, { store: true });
    first.worker.prefill();
    const left = disk.afterDeath();
    first.worker.alive = false;
    const second = await boot(left, first);
    await second.clock.advance(window);
    expect([...second.worker.running.values()][0]!.admission.maxTokens).toBe(0);
    await finish(second);
    await second.clock.advance(window);
    const response = second.engine.get(id, "o")!;
    expect(kinds(response)).toEqual(["created", "inProgress", "ended"]);
    expect(response.ending).toEqual({ kind: "stop" });
  });
});

describe("a token that was not asked for", () => {
  it.each([0, 1, 3])(
    "after %i costs its worker its life, and no reader sees it",
    async (maxTokens) => {
      const sim = await new Sim().start();
      const response = await begin(sim, { maxTokens });
      const first = sim.worker;
      const [[id] = []] = [...first.running];
      for (let i = 0; i <= maxTokens; i++)
        first.say({ type: "step", step: i + 1, rows: [[id!, i, 1000 + i, wordAt(i)]] });
      await settle();
      expect(response.tokens).toHaveLength(maxTokens);
      await sim.clock.advance(restartMsMax);
      expect(sim.worker).not.toBe(first);
      expect(response.ending).toBeUndefined();
      const [again] = [...sim.worker.running.values()];
      expect(tokensOf(again!.admission).emitted).toHaveLength(maxTokens);
      await finish(sim);
      expect(response.ending).toEqual({ kind: "stop" });
    },
  );
});
