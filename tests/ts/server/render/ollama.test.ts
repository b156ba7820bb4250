/** Logs as lines of Ollama's API, and the same as one answer. */
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../../src-ts/engine/api.js";
import { OllamaChat, OllamaGeneration } from "../../../../src-ts/protocol/ollama.js";
import {
  chatShape,
  generationShape,
  OllamaLines,
  Timing,
} from "../../../../src-ts/server/render/ollama.js";
import {
  call,
  ended,
  itemEntries,
  logOf,
  message,
  reasoning,
  started,
} from "../../support/logs.js";

/** Of a clock that goes on by a millisecond with each reading. */
function rendered(entries: readonly LogEntry[], shape = chatShape) {
  let now = 0;
  const timing = new Timing(() => now++);
  const log = logOf(entries);
  const lines = new OllamaLines(log, shape, timing);
  const out: string[] = [];
  for (const [number, entry] of log.entries.entries()) lines.render(entry, number, out);
  expect(out.every((line) => line.indexOf("\n") === line.length - 1)).toBe(true);
  return { streamed: out.map((line) => JSON.parse(line)), whole: lines.whole() };
}

const thoughtAndText = [
  ...itemEntries(0, reasoning, ["Hm", "."]),
  ...itemEntries(1, message, ["Let me", " look."]),
];
const answer = [
  ...started,
  ...thoughtAndText,
  ...itemEntries(2, call("f"), ['{"a":', "1}"]),
  ...itemEntries(3, call("g"), [""]),
  ended,
];

describe("a chat", () => {
  it("has a line for each piece, and whole calls", () => {
    const { streamed } = rendered(answer);
    const lines = streamed.map((line) => OllamaChat.parse(line));
    const { role: _, ...thought } = lines[0]!.message;
    expect(thought).toEqual({ content: "", thinking: "Hm" });
    expect(lines.map(({ message: { content } }) => content).join("")).toBe("Let me look.");
    const calls = lines.flatMap(({ message: { tool_calls } }) => tool_calls ?? []);
    expect(calls.map(({ function: made }) => made)).toEqual([
      { index: 0, name: "look", arguments: { a: 1 } },
      { index: 1, name: "look", arguments: {} },
    ]);
    expect(lines.map(({ done }) => done)).toEqual([...lines.slice(1).map(() => false), true]);
    expect(lines.at(-1)).toMatchObject({ done_reason: "stop", message: { content: "" } });
  });

  it("is the same as a whole", () => {
    const whole = OllamaChat.parse(rendered(answer).whole);
    expect(whole.message).toMatchObject({
      content: "Let me look.",
      thinking: "Hm.",
      tool_calls: [{ id: "f" }, { id: "g" }],
    });
    expect(whole.done).toBe(true);
  });

  it("leaves out a call that can't be run", () => {
    const broken = rendered([...started, ...itemEntries(0, call("f"), ['{"a']), ended]);
    expect(broken.streamed).toHaveLength(1);
    expect(OllamaChat.parse(broken.whole).message.tool_calls).toBeUndefined();
  });
});

it("is a generation in its words", () => {
  const { streamed, whole } = rendered([...started, ...thoughtAndText, ended], generationShape);
  for (const line of streamed) OllamaGeneration.parse(line);
  expect(OllamaGeneration.parse(whole)).toMatchObject({
    response: "Let me look.",
    thinking: "Hm.",
  });
});

it("says that it was cut, and nothing of what failed", () => {
  const cut = { ...ended, ending: { kind: "length" } } as LogEntry;
  expect(rendered([...started, cut]).streamed).toMatchObject([{ done_reason: "length" }]);
  const failed = { kind: "failed", code: "generation_error", message: "It failed." };
  expect(rendered([...started, { ...ended, ending: failed } as LogEntry]).streamed).toEqual([]);
});

it("tells where the time has gone, in nanoseconds that add up", () => {
  const { streamed } = rendered(answer);
  const { total_duration, load_duration, prompt_eval_duration, eval_duration } = streamed.at(-1);
  expect(total_duration).toBe(load_duration + prompt_eval_duration + eval_duration);
  expect([load_duration, prompt_eval_duration, eval_duration]).toEqual([1e6, 1e6, 1e6]);
});
