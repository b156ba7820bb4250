/** What a worker says of forced tokens, of stop strings and of reasoning that can't be bounded: through log, deaths and disk. */
import { describe, expect, it } from "vitest";
import type { LogEntry, Response } from "../../../src-ts/engine/api.js";
import type { Piece, PrepareInput } from "../../../src-ts/worker/messages.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { open } from "../journal/support.js";
import { Sim, settle, submission, VirtualClock } from "./sim.js";

const input: PrepareInput = {
  kind: "chat",
  messages: [{ role: "user", content: "think" }],
  reasoning: { maxTokens: 2 },
};

/** One token each: two of reasoning, a mark of two tokens, then what is said. */
const turn: Piece[][] = [
  [["reasoning", "Hm"]],
  [["reasoning", ", so"]],
  [
    ["reasoning", ""],
    ["forced", ""],
  ],
  [
    ["reasoning", "."],
    ["forced", ""],
  ],
  [["content", "It is "]],
  [["content", "so."]],
];

async function play(sim: Sim, pieces: readonly Piece[][]): Promise<void> {
  for (const piece of pieces) {
    sim.worker.speak(...piece);
    await settle();
  }
}

async function finish(sim: Sim): Promise<void> {
  sim.worker.end([...sim.worker.running.keys()][0]!, "stop", "", "END");
  await settle();
}

function expectWhole(response: Response): void {
  const end = response.entries.at(-1) as Extract<LogEntry, { kind: "ended" }>;
  expect(end.ending).toEqual({ kind: "stop", sequence: "END" });
  expect(end.usage).toMatchObject({ completionTokens: 6, reasoningTokens: 2, forcedTokens: 2 });
  const said = response.output.map(({ parts }) => parts.map(({ text }) => text).join(""));
  expect(said).toEqual(["Hm, so.", "It is so."]);
}

describe.each(turn.map((_, index) => index + 1))("broken off after token %i", (cut) => {
  it("by its worker's death it counts the same", async () => {
    const sim = await new Sim().start();
    const response = await sim.engine.submit(submission({ input, maxTokens: 50 }));
    await sim.clock.advance(5);
    await play(sim, turn.slice(0, cut));
    sim.worker.die();
    await sim.clock.advance(600);
    await play(sim, turn.slice(cut));
    await finish(sim);
    expectWhole(response);
  });

  it("by the server's death too, and once it has ended", async () => {
    const boot = async (on: MemoryDisk, clock: VirtualClock, process: string) => {
      const { journal } = await open(on, { segmentBytesMax: 1e6, clock });
      return new Sim({}, {}, { journal, process, clock }).start();
    };
    const disk = new MemoryDisk();
    const clock = new VirtualClock();
    const first = await boot(disk, clock, "a");
    const { id } = await first.engine.submit(submission({ input, maxTokens: 50, store: true }));
    await clock.advance(5);
    await play(first, turn.slice(0, cut));
    await clock.advance(5);
    const left = disk.afterDeath();
    first.worker.alive = false;
    const second = await boot(left, clock, "b");
    await clock.advance(5);
    const [running] = [...second.worker.running.values()];
    expect(running!.admission.reasoning).toEqual({ maxTokens: 2 });
    await play(second, turn.slice(cut));
    await finish(second);
    await clock.advance(5);
    expectWhole(second.engine.get(id, "o")!);
    const kept = left.afterDeath();
    second.worker.alive = false;
    const third = await boot(kept, clock, "c");
    expectWhole(third.engine.get(id, "o")!);
  });
});

it("where nothing is forced nothing is said of it", async () => {
  const sim = await new Sim().start();
  const response = await sim.engine.submit(submission({ input, maxTokens: 50 }));
  await sim.clock.advance(5);
  await play(sim, turn.slice(4));
  sim.worker.end([...sim.worker.running.keys()][0]!, "stop");
  await settle();
  const end = response.entries.at(-1) as Extract<LogEntry, { kind: "ended" }>;
  expect(end.ending).toStrictEqual({ kind: "stop" });
  expect(end.usage).not.toHaveProperty("forcedTokens");
});

it.each([true, false])(
  "who asked hears that its reasoning is not bounded: %s",
  async (unbounded) => {
    const sim = await new Sim({}, { unbounded }).start();
    const response = await sim.engine.submit(submission({ input, maxTokens: 5 }));
    expect(response.isUnbounded).toBe(unbounded);
  },
);
