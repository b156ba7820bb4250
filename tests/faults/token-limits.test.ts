/**
 * A document or a call that its token limit cuts by its last token, or lets just end, and a worker that dies before
 * its last token is out, after it, or when its end is told.
 */
import { describe, expect, it, vi } from "vitest";
import type { Engine, SubmissionInput } from "../../src-ts/engine/api.js";
import { FaultBench, type Faults, wholeFrame } from "./support/faults.js";
import { type Played, played } from "./support/played.js";

vi.setConfig({ testTimeout: 180_000 });

const parameters = {
  type: "object",
  properties: { path: { type: "string", minLength: 3 }, line: { enum: [1, 20] } },
  required: ["path", "line"],
  additionalProperties: false,
};
const messages = [{ role: "user", content: "Look" }];
const tool = { name: "look", description: "", parameters, custom: false };
const chat = { kind: "chat" as const, messages };

const asked: Record<string, SubmissionInput> = {
  document: { input: chat, constraint: { kind: "json", text: JSON.stringify(parameters) } },
  call: {
    input: { ...chat, tools: { tools: [tool], choice: "required", parallel: false } },
  },
};

const ask = async (engine: Engine, kind: string, maxTokens: number): Promise<Played> =>
  played(await engine.submit({ ...asked[kind]!, maxTokens }));

const endOf = ({ end }: Played) => (end as { ending: { kind: string } }).ending.kind;

/** By the number of its last step. */
const deathsAt = (step: number): Faults[] => [
  { dieInFrame: { frame: "step", nth: step, byte: 0 } },
  { dieInFrame: { frame: "step", nth: step, byte: wholeFrame } },
  { dieInFrame: { frame: "ended", byte: 0 } },
  { dieInFrame: { frame: "ended", byte: wholeFrame } },
];

describe("a death at the token limit changes nothing", () => {
  it.each(Object.keys(asked))("of a %s", async (kind) => {
    await using undisturbed = await new FaultBench().start();
    const whole = await ask(undisturbed.engine, kind, 500);
    const complete = kind === "call" ? "toolCalls" : "stop";
    expect(endOf(whole)).toBe(complete);
    const length = whole.tokens.length;
    expect(length).toBeGreaterThan(10);
    const limits = [length - 1, length];
    const expected = new Map<number, Played>();
    for (const limit of limits) expected.set(limit, await ask(undisturbed.engine, kind, limit));
    expect(endOf(expected.get(length - 1)!)).toBe("length");
    expect(endOf(expected.get(length)!)).toBe(complete);

    const faults = limits.flatMap((limit) =>
      deathsAt(expected.get(limit)!.tokens.length).map((fault) => ({ limit, fault })),
    );
    await using bench = new FaultBench();
    let given = 0;
    let pending = 0;
    bench.faults = () => ({ ...faults[given++]?.fault, afterEnded: pending });
    bench.engine.observe({
      ended: () => {
        pending = 0;
      },
    });
    await bench.start();
    for (const [index, { limit, fault }] of faults.entries()) {
      pending = 1;
      const what = `${limit} of ${length}: ${JSON.stringify(fault)}`;
      expect(await ask(bench.engine, kind, limit), what).toEqual(expected.get(limit));
      await bench.until(() => bench.info.restarts >= index + 1);
    }
  });
});
