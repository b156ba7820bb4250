/**
 * What was reported of other servers' /v1/messages: BerriAI/litellm#33224 (thoughts in a block of text),
 * anthropics/claude-code#23390 (blocks of nothing but spaces), BerriAI/litellm#36604 and ggml-org/llama.cpp#20663
 * (images fail with 500), jundot/omlx#2483 (a late system message moves to the front).
 */
import type Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import { AnthropicError, AnthropicStreamEvent } from "../../../../src-ts/protocol/anthropic.js";
import type { Piece } from "../../../../src-ts/worker/messages.js";
import type { Script } from "../../support/scripted-engine.js";
import { parseSse, startServer } from "../../support/test-server.js";

const messages = [{ role: "user", content: "Hi" }];
const image = {
  type: "image",
  source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" },
};

const speaks =
  (...turn: Piece[]): Script =>
  (run) => {
    run.start();
    setImmediate(() => {
      for (const piece of turn) run.speak(piece);
      run.end({ kind: "toolCalls" });
    });
  };

/** As the official types have them: what they don't know doesn't compile. */
async function streamed(script: Script): Promise<Anthropic.RawMessageStreamEvent[]> {
  const { post, engine } = await startServer();
  engine.script = script;
  const answer = await post("/v1/messages", { max_tokens: 50, messages, stream: true });
  return parseSse(await answer.text()).events.map(({ event, data }) => {
    const parsed: AnthropicStreamEvent = AnthropicStreamEvent.parse(JSON.parse(data));
    expect(event).toBe(parsed.type);
    return parsed as Anthropic.RawMessageStreamEvent;
  });
}

const kindOfDelta = {
  text: ["text_delta"],
  thinking: ["thinking_delta", "signature_delta"],
  tool_use: ["input_json_delta"],
};

function expectWhole(events: readonly Anthropic.RawMessageStreamEvent[]): string[] {
  let open: { index: number; type: keyof typeof kindOfDelta; deltas: number } | undefined;
  const blocks: string[] = [];
  for (const event of events) {
    if (event.type === "content_block_start") {
      expect(open).toBeUndefined();
      expect(event.index).toBe(blocks.length);
      const type = event.content_block.type as keyof typeof kindOfDelta;
      open = { index: event.index, type, deltas: 0 };
    } else if (event.type === "content_block_delta") {
      expect(event.index).toBe(open?.index);
      expect(kindOfDelta[open!.type]).toContain(event.delta.type);
      open!.deltas++;
    } else if (event.type === "content_block_stop") {
      expect(event.index).toBe(open?.index);
      if (open!.type !== "tool_use") expect(open!.deltas).toBeGreaterThan(0);
      blocks.push(open!.type);
      open = undefined;
    }
  }
  expect(open).toBeUndefined();
  expect(events.map(({ type }) => type).slice(-2)).toEqual(["message_delta", "message_stop"]);
  return blocks;
}

describe("a delta stands in a block of its kind", () => {
  const call: Piece[] = [
    ["call", "look"],
    ["arguments", '{"a":'],
    ["arguments", "1}"],
    ["callEnd", true],
  ];
  it.each<[string, Piece[], string[]]>([
    [
      "thoughts after text",
      [
        ["content", "Well."],
        ["reasoning", "Hm."],
      ],
      ["text", "thinking"],
    ],
    ["thoughts after a call", [...call, ["reasoning", "Hm."]], ["tool_use", "thinking"]],
    [
      "a thought between two texts",
      [
        ["content", "a"],
        ["reasoning", "b"],
        ["content", "c"],
      ],
      ["text", "thinking", "text"],
    ],
    [
      "a thought between two calls",
      [...call, ["reasoning", "b"], ...call],
      ["tool_use", "thinking", "tool_use"],
    ],
    [
      "a thought of nothing",
      [
        ["reasoning", ""],
        ["content", "a"],
      ],
      ["text"],
    ],
    [
      "a forced end",
      [
        ["reasoning", "a"],
        ["reasoning", ""],
        ["forced", ""],
        ["content", "b"],
      ],
      ["thinking", "text"],
    ],
  ])("%s", async (_name, turn, blocks) => {
    expect(expectWhole(await streamed(speaks(...turn)))).toEqual(blocks);
  });
});

describe("a history", () => {
  it.each([
    ["empty", [{ type: "text", text: "" }]],
    ["spaces", [{ type: "text", text: " \n", cache_control: { type: "ephemeral" } }]],
    ["no thought before a call", [{ type: "tool_use", id: "t", name: "look", input: {} }]],
  ])("of blocks that others refuse is taken: %s", async (_name, content) => {
    const { post } = await startServer();
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const turns = [...messages, { role: "assistant", content }, ...messages];
    const answer = await post("/v1/messages", { max_tokens: 5, messages: turns, thinking });
    expect(answer.status).toBe(200);
  });

  it.each([
    ["messages[0].content[0].type", [image]],
    ["messages[0].content[1].type", [{ type: "text", text: "What is it?" }, image]],
  ])("with an image is refused by %s, and not a fault", async (param, content) => {
    const { post } = await startServer();
    const turns = [{ role: "user", content }];
    for (const path of ["/v1/messages", "/v1/messages/count_tokens"]) {
      const answer = await post(path, { max_tokens: 5, messages: turns });
      expect(answer.status).toBe(400);
      expect(AnthropicError.parse(await answer.json()).error).toMatchObject({ param });
    }
  });

  it("with an image as a result is refused by its place", async () => {
    const { post } = await startServer();
    const used = {
      role: "assistant",
      content: [{ type: "tool_use", id: "t", name: "l", input: {} }],
    };
    const result = { type: "tool_result", tool_use_id: "t", content: [image] };
    const turns = [...messages, used, { role: "user", content: [result] }];
    const answer = await post("/v1/messages", { max_tokens: 5, messages: turns });
    expect(AnthropicError.parse(await answer.json()).error).toMatchObject({
      type: "invalid_request_error",
      param: "messages[2].content[0].content[0].type",
    });
  });

  it.each([
    ["user", true],
    ["refuse", undefined],
  ] as const)(
    "with a late system message leaves it where it is (%s)",
    async (lateSystem, foldsSystem) => {
      const { post, engine } = await startServer({ lateSystem });
      const late = { role: "system", content: "Use the task tool." };
      const turns = [...messages, late, { role: "assistant", content: "Yes." }, ...messages];
      await post("/v1/messages", { max_tokens: 5, system: "Be brief.", messages: turns });
      const { input } = engine.runs[0]!.submission;
      expect(input).toMatchObject({ kind: "chat" });
      if (input.kind !== "chat") return;
      expect(input.messages.map(({ role }) => role)).toEqual([
        "system",
        "user",
        "system",
        "assistant",
        "user",
      ]);
      expect(input.foldsSystem).toBe(foldsSystem);
    },
  );
});
