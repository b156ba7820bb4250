/** Whole responses, and how they end, as messages of Anthropic's API. */
import { describe, expect, it } from "vitest";
import type { Ending, LogEntry } from "../../../../src-ts/engine/api.js";
import { AnthropicMessage } from "../../../../src-ts/protocol/anthropic.js";
import {
  anthropicMessage,
  anthropicUsage,
  stopReasonOf,
} from "../../../../src-ts/server/render/anthropic-message.js";
import {
  call,
  ended,
  itemEntries,
  logOf,
  message,
  reasoning,
  started,
} from "../../support/logs.js";

const whole = (entries: readonly LogEntry[], end: LogEntry = ended) =>
  AnthropicMessage.parse(anthropicMessage(logOf([...started, ...entries, end])));

const broken = (entries: LogEntry[]): LogEntry[] =>
  entries.map((entry) => (entry.kind === "itemDone" ? { ...entry, incomplete: true } : entry));

describe("a message", () => {
  it("has a block for each item, in order", () => {
    const { content } = whole([
      ...itemEntries(0, reasoning, ["Hm, ", "well."]),
      ...itemEntries(1, message, ["One ", "part, "], ["another."]),
      ...itemEntries(2, call("1"), ['{"a":', '{"b":[1]}}']),
      ...itemEntries(3, call("2"), []),
    ]);
    expect(content).toEqual([
      { type: "thinking", thinking: "Hm, well.", signature: "resp_1" },
      { type: "text", text: "One part, another." },
      { type: "tool_use", id: "1", name: "look", input: { a: { b: [1] } } },
      { type: "tool_use", id: "2", name: "look", input: {} },
    ]);
  });

  it("has no empty block", () => {
    expect(whole(itemEntries(0, message, [])).content).toEqual([]);
    expect(whole(itemEntries(0, message, [""])).content).toEqual([]);
    expect(whole([]).content).toEqual([]);
  });

  it.each(['{"a":', "[1]", "3", "null", "not json"])("has no call with %j in it", (text) => {
    const said = itemEntries(0, message, ["So:"]);
    expect(whole([...said, ...itemEntries(1, call("1"), [text])]).content).toHaveLength(1);
  });

  it("has no call that was broken off, though it could be read", () => {
    expect(whole(broken(itemEntries(0, call("1"), ["{}"]))).content).toEqual([]);
  });

  it.each<[Ending, string | undefined]>([
    [{ kind: "stop" }, "end_turn"],
    [{ kind: "length" }, "max_tokens"],
    [{ kind: "toolCalls" }, "tool_use"],
    [{ kind: "cancelled" }, undefined],
    [{ kind: "expired" }, undefined],
    [{ kind: "failed", code: "generation_error", message: "" }, undefined],
  ])("that ends with %j stops for %s", (ending, reason) => {
    expect(stopReasonOf(ending)).toBe(reason);
    if (reason !== undefined)
      expect(whole([], { ...ended, ending } as LogEntry)).toMatchObject({
        stop_reason: reason,
        stop_sequence: null,
      });
  });

  it("that ends at a stop string says which", () => {
    const ending: Ending = { kind: "stop", sequence: "\n\nHuman:" };
    expect(whole([], { ...ended, ending } as LogEntry)).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: "\n\nHuman:",
    });
  });
});

it("input and cache reads together are the prompt", () => {
  const usage = { promptTokens: 20, cachedTokens: 16, completionTokens: 3, reasoningTokens: 1 };
  const log = logOf([...started, { ...ended, usage } as LogEntry]);
  expect(anthropicUsage(log)).toEqual({
    input_tokens: 4,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 16,
    output_tokens: 3,
  });
});
