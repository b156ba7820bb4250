/** Turns of reasoning, text and calls, broken off after every token: by a worker's death, and by the server's. */
import { describe, expect, it } from "vitest";
import type { LogEntry, Response } from "../../../src-ts/engine/api.js";
import type { Piece, PrepareInput } from "../../../src-ts/worker/messages.js";
import { MemoryDisk } from "../../support/memory-disk.js";
import { open } from "../journal/support.js";
import { Sim, settle, submission, VirtualClock } from "./sim.js";

const parameters = { type: "object", properties: { path: { type: "string" } } };
const input: PrepareInput = {
  kind: "chat",
  messages: [{ role: "user", content: "look" }],
  tools: {
    tools: [
      { name: "look", description: "Looks", parameters, custom: false },
      { name: "run", description: "", parameters: {}, custom: true, pattern: "[a-z]+" },
    ],
    choice: "auto",
    parallel: true,
  },
  reasoning: { enabled: true, maxTokens: 20 },
};

/** One token each. */
const turn: Piece[][] = [
  [["reasoning", ""]],
  [["reasoning", "Hm"]],
  [
    ["reasoning", "."],
    ["content", "Let "],
  ],
  [["content", "me."]],
  [],
  [["call", "look"]],
  [["arguments", '{"pa']],
  [["arguments", 'th":1}']],
  [
    ["callEnd", true],
    ["call", "run"],
    ["arguments", "l"],
  ],
  [
    ["arguments", "s"],
    ["callEnd", true],
  ],
];

const whole = [
  ["reasoning", "Hm."],
  ["message", "Let me."],
  ["functionCall", "look", '{"path":1}'],
  ["customToolCall", "run", "ls"],
];

const shown = ({ output }: Response) =>
  output.map(({ item, parts }) => [
    item.kind,
    ...("name" in item ? [item.name] : []),
    parts.map(({ text }) => text).join(""),
  ]);

const callIds = ({ output }: Response) =>
  output.flatMap(({ item }) => ("callId" in item ? [item.callId] : []));

function endOf({ entries }: Response) {
  return entries.at(-1) as Extract<LogEntry, { kind: "ended" }>;
}

async function play(sim: Sim, pieces: readonly Piece[][]): Promise<void> {
  for (const piece of pieces) {
    sim.worker.speak(...piece);
    await settle();
  }
}

async function finish(sim: Sim): Promise<void> {
  sim.worker.end([...sim.worker.running.keys()][0]!, "toolCalls");
  await settle();
}

function expectWhole(response: Response): void {
  expect(shown(response)).toEqual(whole);
  const own = response.id.slice("resp_".length);
  expect(callIds(response)).toEqual([`call_${own}_0`, `call_${own}_1`]);
  expect(endOf(response)).toMatchObject({
    ending: { kind: "toolCalls" },
    usage: { completionTokens: turn.length, reasoningTokens: 3 },
  });
}

describe.each(turn.map((_, index) => index + 1))(
  "a turn that is broken off after token %i",
  (cut) => {
    it("by its worker's death goes on in the same item, on a worker that knows the same", async () => {
      const sim = await new Sim().start();
      const response = await sim.engine.submit(submission({ input, maxTokens: 50 }));
      await sim.clock.advance(5);
      const [before] = [...sim.worker.running.values()];
      await play(sim, turn.slice(0, cut));
      sim.worker.die();
      await sim.clock.advance(600);
      const [after] = [...sim.worker.running.values()];
      expect(after!.admission.emitted).toHaveLength(cut * 4);
      const { tools, reasoning } = input as Extract<PrepareInput, { kind: "chat" }>;
      for (const held of [before, after])
        expect(held!.admission).toMatchObject({ chat: true, tools, reasoning });
      await play(sim, turn.slice(cut));
      await finish(sim);
      expectWhole(response);
    });

    it("by the server's death goes on in the same item", async () => {
      const disk = new MemoryDisk();
      const boot = async (on: MemoryDisk, clock: VirtualClock, process: string) => {
        const { journal } = await open(on, { segmentBytesMax: 1e6, clock });
        return new Sim(
          { fakeScript: [{ when: "look", say: "raw" }] },
          {},
          { journal, process, clock },
        ).start();
      };
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
      expect(running!.admission).toMatchObject({ fakeSay: "raw", chat: true });
      await play(second, turn.slice(cut));
      await finish(second);
      await clock.advance(5);
      expectWhole(second.engine.get(id, "o")!);
    });
  },
);

it("what was held back until the end may close a call", async () => {
  const sim = await new Sim().start();
  const response = await sim.engine.submit(submission({ input, maxTokens: 50 }));
  await sim.clock.advance(5);
  await play(sim, turn.slice(5, 7));
  const tail: Piece[] = [
    ["arguments", 'th":2}'],
    ["callEnd", true],
  ];
  sim.worker.end([...sim.worker.running.keys()][0]!, "toolCalls", tail);
  await settle();
  expect(shown(response)).toEqual([["functionCall", "look", '{"path":2}']]);
  expect(response.output[0]).toMatchObject({ isDone: true, isIncomplete: false });
});
