/** Logs as streams of Anthropic's API: what comes after what, whatever the log has. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../../src-ts/engine/api.js";
import {
  type AnthropicBlock,
  AnthropicStreamEvent,
} from "../../../../src-ts/protocol/anthropic.js";
import { AnthropicEvents, eventText } from "../../../../src-ts/server/render/anthropic-events.js";
import { anthropicMessage } from "../../../../src-ts/server/render/anthropic-message.js";
import {
  call,
  ended,
  itemEntries,
  logOf,
  message,
  reasoning,
  started,
} from "../../support/logs.js";
import { parseSse } from "../../support/test-server.js";

function parse(text: string): AnthropicStreamEvent[] {
  return parseSse(text).events.map(({ event, data }) => {
    const parsed = AnthropicStreamEvent.parse(JSON.parse(data));
    expect(parsed.type).toBe(event);
    return parsed;
  });
}

/** `pingAt`: before this entry a keep-alive is due. */
function eventsOf(entries: readonly LogEntry[], pingAt = -1): AnthropicStreamEvent[] {
  const log = logOf(entries);
  const events = new AnthropicEvents(log);
  const out: string[] = [];
  for (const [number, entry] of log.entries.entries()) {
    if (number === pingAt) out.push(events.ping());
    events.render(entry, number, out);
  }
  return parse(out.join(""));
}

const whole = (...items: LogEntry[][]) => [...started, ...items.flat(), ended];

function inShort(event: AnthropicStreamEvent): string {
  switch (event.type) {
    case "content_block_start":
      return `start ${event.index} ${event.content_block.type}`;
    case "content_block_delta": {
      const { type: _, ...delta } = event.delta;
      return `delta ${event.index} ${Object.values(delta)[0]}`;
    }
    case "content_block_stop":
      return `stop ${event.index}`;
    default:
      return event.type;
  }
}

describe("a stream", () => {
  it("shows thoughts, text and calls as blocks, one after another", () => {
    const entries = whole(
      itemEntries(0, reasoning, ["Hm, ", "well."]),
      itemEntries(1, message, ["One ", "part, "], ["another."]),
      itemEntries(2, call("1"), ['{"a"', ":1}"]),
      itemEntries(3, call("2"), []),
    );
    expect(eventsOf(entries).map(inShort)).toEqual([
      "message_start",
      "start 0 thinking",
      "delta 0 Hm, ",
      "delta 0 well.",
      "delta 0 resp_1",
      "stop 0",
      "start 1 text",
      "delta 1 One ",
      "delta 1 part, ",
      "delta 1 another.",
      "stop 1",
      "start 2 tool_use",
      'delta 2 {"a"',
      "delta 2 :1}",
      "stop 2",
      "start 3 tool_use",
      "stop 3",
      "message_delta",
      "message_stop",
    ]);
  });

  it("has no block without text, and counts none", () => {
    const entries = whole(
      itemEntries(0, reasoning, [""]),
      itemEntries(1, message, []),
      itemEntries(2, message, ["", "Yes."]),
    );
    expect(eventsOf(entries).map(inShort)).toEqual([
      "message_start",
      "start 0 text",
      "delta 0 Yes.",
      "stop 0",
      "message_delta",
      "message_stop",
    ]);
  });

  it("of nothing at all is a message all the same", () => {
    expect(eventsOf(whole()).map(inShort)).toEqual([
      "message_start",
      "message_delta",
      "message_stop",
    ]);
  });

  it("says at its end why and what it took", () => {
    const usage = { promptTokens: 2, cachedTokens: 1, completionTokens: 3, reasoningTokens: 0 };
    const end = { ...ended, ending: { kind: "length" }, usage } as LogEntry;
    expect(eventsOf([...started, ...itemEntries(0, message, ["a"]), end]).at(-2)).toEqual({
      type: "message_delta",
      delta: { stop_reason: "max_tokens", stop_sequence: null },
      usage: {
        input_tokens: 1,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 1,
        output_tokens: 3,
      },
    });
  });

  it("says which stop string ended it", () => {
    const end = { ...ended, ending: { kind: "stop", sequence: "STOP" } } as LogEntry;
    expect(eventsOf([...started, ...itemEntries(0, message, ["a"]), end]).at(-2)).toMatchObject({
      delta: { stop_reason: "stop_sequence", stop_sequence: "STOP" },
    });
  });

  it("that fails has no end of its own", () => {
    for (const ending of [
      { kind: "failed", code: "generation_error", message: "" },
      { kind: "expired" },
      { kind: "cancelled" },
    ]) {
      const end = { ...ended, ending } as LogEntry;
      expect(eventsOf([...started, end])).toEqual([]);
      const some = eventsOf([...started, ...itemEntries(0, message, ["a"]), end]);
      expect(some.at(-1)!.type).toBe("content_block_stop");
    }
  });

  it("pings after it has started, wherever that falls, and starts once", () => {
    const entries = whole(itemEntries(0, message, ["a"]));
    for (let at = 0; at < entries.length; at++) {
      const shown = eventsOf(entries, at).map(({ type }) => type);
      expect(shown[0]).toBe("message_start");
      expect(shown.filter((type) => type === "message_start")).toHaveLength(1);
      expect(shown.filter((type) => type === "ping")).toHaveLength(1);
    }
  });

  it("adds up to the message that is answered without one", () => {
    const texts = fc.array(fc.string(), { maxLength: 4 });
    const items = fc.array(
      fc.oneof(
        fc.record({ item: fc.constant(message), texts }),
        fc.record({ item: fc.constant(reasoning), texts }),
        fc.record({
          item: fc.constant(call("1")),
          texts: fc.json().map((text) => [`{"a":${text}}`]),
        }),
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(items, (chosen) => {
        const entries = whole(...chosen.map((one, i) => itemEntries(i, one.item, one.texts)));
        expect(accumulated(eventsOf(entries))).toEqual(anthropicMessage(logOf(entries)).content);
      }),
      { numRuns: 200 },
    );
  });
});

/** As clients do it; a block that isn't open, or is open already, has no place in it. */
function accumulated(events: readonly AnthropicStreamEvent[]): AnthropicBlock[] {
  const blocks: AnthropicBlock[] = [];
  let json = "";
  let open = false;
  for (const event of events) {
    if (event.type === "content_block_start") {
      expect([open, event.index]).toEqual([false, blocks.length]);
      blocks.push({ ...event.content_block });
      json = "";
      open = true;
    } else if (event.type === "content_block_delta") {
      const block = blocks[event.index]!;
      expect([open, event.index]).toEqual([true, blocks.length - 1]);
      const { delta } = event;
      if (delta.type === "text_delta" && block.type === "text") block.text += delta.text;
      else if (block.type === "thinking" && delta.type === "thinking_delta")
        block.thinking += delta.thinking;
      else if (block.type === "thinking" && delta.type === "signature_delta")
        block.signature += delta.signature;
      else if (delta.type === "input_json_delta") json += delta.partial_json;
      else throw new Error(`${delta.type} in ${block.type}`);
    } else if (event.type === "content_block_stop") {
      const block = blocks[event.index]!;
      if (block.type === "tool_use" && json !== "") block.input = JSON.parse(json);
      open = false;
    }
  }
  expect(open).toBe(false);
  return blocks;
}

it("an event's name is its type", () => {
  expect(eventText({ type: "ping" })).toBe('event: ping\ndata: {"type":"ping"}\n\n');
});
