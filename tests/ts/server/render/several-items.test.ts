/** Logs of several items, as each API shows them: places come from the entries, and from nothing else. */
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../../../src-ts/engine/api.js";
import type { ResponseLog } from "../../../../src-ts/engine/responses/log.js";
import {
  ChatChunk,
  Completion,
  ResponseObject,
  ResponseStreamEvent,
} from "../../../../src-ts/protocol/index.js";
import { ChatChunks, CompletionChunks } from "../../../../src-ts/server/render/chat-chunks.js";
import { chatMessage } from "../../../../src-ts/server/render/chat-message.js";
import { ResponseEvents } from "../../../../src-ts/server/render/response-events.js";
import { responseObject } from "../../../../src-ts/server/render/response-object.js";
import {
  call,
  custom,
  ended,
  itemEntries,
  logOf,
  message,
  reasoning,
  started,
} from "../../support/logs.js";

const think = (index: number) => itemEntries(index, reasoning, ["Hm, ", "well."]);
const twoParts = (index: number) => itemEntries(index, message, ["One ", "part, "], ["another."]);

const logs = {
  oneMessage: [...itemEntries(0, message, ["Only ", "this."])],
  twoParts: [...twoParts(0)],
  reasoned: [...think(0), ...itemEntries(1, message, ["Yes."])],
  calls: [...itemEntries(0, call("1"), ["{", "}"]), ...itemEntries(1, call("2"), ["[]"])],
  everything: [
    ...think(0),
    ...twoParts(1),
    ...itemEntries(2, call("1"), ["{}"]),
    ...itemEntries(3, custom("2"), ["ls"]),
    ...itemEntries(4, message, ["Done."]),
  ],
} satisfies Record<string, LogEntry[]>;

const whole = (entries: readonly LogEntry[]) => logOf([...started, ...entries, ended]);

function eventsOf(log: ResponseLog, from = 0): ResponseStreamEvent[] {
  const events = new ResponseEvents(log, "json");
  const out: string[] = [];
  for (let number = from; number < log.entries.length; number++)
    events.render(log.entries[number]!, number, out);
  return out.map((text) => ResponseStreamEvent.parse(JSON.parse(text)));
}

/** Each event in short: its type, where it is, and its text. */
function inShort(event: ResponseStreamEvent): string {
  const type = event.type.replace("response.", "").replace("output_", "");
  const id = "item" in event ? event.item.id : "item_id" in event ? event.item_id : "";
  const place = "output_index" in event ? ` ${id} ${event.output_index}` : "";
  const part = "content_index" in event ? `.${event.content_index}` : "";
  const text = textOf(event);
  return `${type}${place}${part}${text === undefined ? "" : ` ${text}`}`;
}

function textOf(event: ResponseStreamEvent): string | undefined {
  if ("delta" in event) return event.delta;
  if ("text" in event) return event.text;
  if ("arguments" in event) return `${event.name} ${event.arguments}`;
  return "input" in event ? event.input : undefined;
}

const ofItems = (events: ResponseStreamEvent[]) =>
  events.map(inShort).filter((line) => /msg|fc|ctc|rs/.test(line));

describe("events of the Responses API", () => {
  it("of a message with two parts name the part", () => {
    expect(ofItems(eventsOf(whole(logs.twoParts)))).toEqual([
      "item.added msg_1 0",
      "content_part.added msg_1 0.0",
      "text.delta msg_1 0.0 One ",
      "text.delta msg_1 0.0 part, ",
      "text.done msg_1 0.0 One part, ",
      "content_part.done msg_1 0.0",
      "content_part.added msg_1 0.1",
      "text.delta msg_1 0.1 another.",
      "text.done msg_1 0.1 another.",
      "content_part.done msg_1 0.1",
      "item.done msg_1 0",
    ]);
  });

  it("of reasoning are its own, and those of a message behind it name its place", () => {
    expect(ofItems(eventsOf(whole(logs.reasoned)))).toEqual([
      "item.added rs_1 0",
      "content_part.added rs_1 0.0",
      "reasoning_text.delta rs_1 0.0 Hm, ",
      "reasoning_text.delta rs_1 0.0 well.",
      "reasoning_text.done rs_1 0.0 Hm, well.",
      "content_part.done rs_1 0.0",
      "item.done rs_1 0",
      "item.added msg_1_1 1",
      "content_part.added msg_1_1 1.0",
      "text.delta msg_1_1 1.0 Yes.",
      "text.done msg_1_1 1.0 Yes.",
      "content_part.done msg_1_1 1.0",
      "item.done msg_1_1 1",
    ]);
  });

  it("of items in between are of both messages, each in its place", () => {
    const lines = ofItems(eventsOf(whole(logs.everything)));
    expect(lines.filter((line) => line.startsWith("item."))).toEqual(
      ["rs_1 0", "msg_1_1 1", "fc_1_2 2", "ctc_1_3 3", "msg_1_4 4"].flatMap((place) => [
        `item.added ${place}`,
        `item.done ${place}`,
      ]),
    );
    expect(lines).toContain("custom_tool_call_input.delta ctc_1_3 3 ls");
    expect(lines).toContain("custom_tool_call_input.done ctc_1_3 3 ls");
    expect(lines).toContain("text.done msg_1_4 4.0 Done.");
  });

  it("of calls have their arguments as they come, and the call whole", () => {
    const events = eventsOf(whole(logs.calls));
    expect(ofItems(events)).toEqual([
      "item.added fc_1 0",
      "function_call_arguments.delta fc_1 0 {",
      "function_call_arguments.delta fc_1 0 }",
      "function_call_arguments.done fc_1 0 look {}",
      "item.done fc_1 0",
      "item.added fc_1_1 1",
      "function_call_arguments.delta fc_1_1 1 []",
      "function_call_arguments.done fc_1_1 1 look []",
      "item.done fc_1_1 1",
    ]);
    const items = events.flatMap((event) => ("item" in event ? [event.item] : []));
    const call = { id: "fc_1", type: "function_call", call_id: "1", name: "look" };
    expect(items.slice(0, 2)).toEqual([
      { ...call, status: "in_progress", arguments: "" },
      { ...call, status: "completed", arguments: "{}" },
    ]);
  });

  it("of a call without a word are the same", () => {
    expect(ofItems(eventsOf(whole(itemEntries(0, call("1"), []))))).toEqual([
      "item.added fc_1 0",
      "function_call_arguments.done fc_1 0 look ",
      "item.done fc_1 0",
    ]);
  });

  it("count without a gap", () => {
    const numbers = eventsOf(whole(logs.everything)).map(({ sequence_number }) => sequence_number);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });

  it.each(Object.entries(logs))("are the same from wherever they are read: %s", (_, entries) => {
    const log = whole(entries);
    const all = eventsOf(log);
    for (let from = 0; from < log.entries.length; from++)
      expect(eventsOf(log, from)).toEqual(all.filter((event) => event.sequence_number >= from));
  });

  it("in SSE and in JSON are the same", () => {
    const log = whole(logs.everything);
    const sse: string[] = [];
    const json: string[] = [];
    log.entries.forEach((entry, number) => {
      new ResponseEvents(log, "sse", "lane").render(entry, number, sse);
      new ResponseEvents(log, "json", "lane").render(entry, number, json);
    });
    const framed = json.map((text) => `event: ${JSON.parse(text).type}\ndata: ${text}\n\n`);
    expect(sse).toEqual(framed);
  });
});

describe("the response object", () => {
  const objectOf = (entries: readonly LogEntry[]) =>
    ResponseObject.parse(responseObject(logOf([...started, ...entries])));

  it("has every item with all its parts", () => {
    const { output, status } = objectOf([...logs.everything, ended]);
    expect(status).toBe("completed");
    const called = { status: "completed", call_id: "1", name: "look", arguments: "{}" };
    expect(output).toMatchObject([
      { id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "Hm, well." }] },
      { id: "msg_1_1", content: [{ text: "One part, " }, { text: "another." }] },
      { id: "fc_1_2", type: "function_call", ...called },
      { id: "ctc_1_3", type: "custom_tool_call", call_id: "2", name: "run", input: "ls" },
      { id: "msg_1_4", content: [{ text: "Done." }] },
    ]);
    expect(output.every((one) => one.status === "completed")).toBe(true);
  });

  it("tells a call that was broken off from one that is whole, however the response ended", () => {
    const cut = itemEntries(1, call("2"), ["{"]).slice(0, -1);
    const broken: LogEntry = { kind: "itemDone", index: 1, incomplete: true };
    const length = { ...ended, ending: { kind: "length" } } as LogEntry;
    const first = itemEntries(0, call("1"), ["{}"]);
    const statuses = (entries: LogEntry[]) => objectOf(entries).output.map(({ status }) => status);
    expect(statuses([...first, length])).toEqual(["completed"]);
    expect(statuses([...first, ...cut, broken, length])).toEqual(["completed", "incomplete"]);
    expect(statuses([...first, ...cut, broken, ended])).toEqual(["completed", "incomplete"]);
    expect(statuses([...first, ...cut])).toEqual(["completed", "in_progress"]);
  });

  it.each([
    ["stop", "completed"],
    ["toolCalls", "completed"],
    ["length", "incomplete"],
    ["cancelled", "incomplete"],
    ["expired", "incomplete"],
  ] as const)(
    "that ended with %s: its last item is %s, those before are complete",
    (kind, last) => {
      const end = { ...ended, ending: { kind } } as LogEntry;
      const { output } = objectOf([...twoParts(0), ...itemEntries(1, message, ["More"]), end]);
      expect(output.map(({ status }) => status)).toEqual(["completed", last]);
    },
  );

  it("of a response that runs shows how far each item has come", () => {
    const running = [...twoParts(0), ...itemEntries(1, message, ["More"]).slice(0, 3)];
    expect(objectOf(running).output.map(({ status }) => status)).toEqual([
      "completed",
      "in_progress",
    ]);
    expect(objectOf([]).output).toEqual([]);
  });
});

describe("a choice", () => {
  const head = { id: "c", created: 1, model: "m", includeUsage: false };

  function chunksOf(
    entries: readonly LogEntry[],
    make: typeof ChatChunks | typeof CompletionChunks,
  ) {
    const log = whole(entries);
    const chunks = new make(log, head, 0);
    const out: string[] = [];
    for (const [number, entry] of log.entries.entries()) chunks.render(entry, number, out);
    return out.map((text) => JSON.parse(text.slice("data: ".length)));
  }

  const cases: [keyof typeof logs, string[]][] = [
    ["oneMessage", ["Only ", "this."]],
    ["twoParts", ["One ", "part, ", "another."]],
    ["reasoned", ["Yes."]],
    ["calls", []],
    ["everything", ["One ", "part, ", "another.", "Done."]],
  ];

  it.each(cases)("of chat has what messages say: %s", (name, texts) => {
    const chunks = chunksOf(logs[name], ChatChunks).map((chunk) => ChatChunk.parse(chunk));
    const deltas = chunks.map(({ choices }) => choices[0]!.delta);
    expect(deltas.flatMap(({ role }) => role ?? [])).toEqual(["assistant"]);
    expect(deltas.flatMap(({ content }) => content || [])).toEqual(texts);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("stop");
    expect(whole(logs[name]).text).toBe(texts.join(""));
  });

  it.each(cases)("of completions has what messages say: %s", (name, texts) => {
    const chunks = chunksOf(logs[name], CompletionChunks).map((chunk) => Completion.parse(chunk));
    const shown = chunks.map(({ choices }) => choices[0]!.text);
    expect(shown.slice(0, -1)).toEqual(texts);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe("stop");
  });

  const call1 = { index: 0, id: "1", type: "function", function: { name: "look", arguments: "" } };

  it("has calls as they come: which it is first, then its arguments", () => {
    const chunks = chunksOf(logs.everything, ChatChunks).map((chunk) => ChatChunk.parse(chunk));
    const deltas = chunks.map(({ choices }) => choices[0]!.delta);
    expect(deltas.flatMap(({ reasoning_content }) => reasoning_content ?? [])).toEqual([
      "Hm, ",
      "well.",
    ]);
    expect(deltas.flatMap(({ tool_calls }) => tool_calls ?? [])).toEqual([
      call1,
      { index: 0, function: { arguments: "{}" } },
      { index: 1, id: "2", type: "custom", custom: { name: "run", input: "" } },
      { index: 1, custom: { input: "ls" } },
    ]);
  });

  it("that ends by calling something says so", () => {
    const log = logOf([
      ...started,
      ...logs.calls,
      { ...ended, ending: { kind: "toolCalls" } } as LogEntry,
    ]);
    const last = (isLegacy: boolean) => {
      const out: string[] = [];
      log.entries.forEach((entry, number) => {
        new ChatChunks(log, head, 0, isLegacy).render(entry, number, out);
      });
      return ChatChunk.parse(JSON.parse(out.at(-1)!.slice("data: ".length))).choices[0]!
        .finish_reason;
    };
    expect([last(false), last(true)]).toEqual(["tool_calls", "function_call"]);
  });

  it("to who offers functions is a function that is called", () => {
    const out: string[] = [];
    const log = whole(itemEntries(0, call("1"), ["{", "}"]));
    const chunks = new ChatChunks(log, head, 0, true);
    for (const [number, entry] of log.entries.entries()) chunks.render(entry, number, out);
    const deltas = out.map((text) => ChatChunk.parse(JSON.parse(text.slice(6))).choices[0]!.delta);
    expect(deltas.flatMap(({ function_call }) => function_call ?? [])).toEqual([
      { name: "look", arguments: "" },
      { arguments: "{" },
      { arguments: "}" },
    ]);
    expect(chatMessage(log, true)).toEqual({
      role: "assistant",
      content: null,
      refusal: null,
      function_call: { name: "look", arguments: "{}" },
    });
  });

  it("whole has all calls, what was thought, and null where nothing is said", () => {
    const calls = [
      { id: "1", type: "function", function: { name: "look", arguments: "{}" } },
      { id: "2", type: "custom", custom: { name: "run", input: "ls" } },
    ];
    const plain = { role: "assistant", refusal: null };
    const said = "One part, another.Done.";
    expect(chatMessage(whole(logs.everything), false)).toEqual({
      ...plain,
      content: said,
      reasoning_content: "Hm, well.",
      tool_calls: calls,
    });
    expect(chatMessage(whole(think(0)), false)).toMatchObject({ content: null });
    expect(chatMessage(whole(logs.calls), false)).toMatchObject({ content: null });
    expect(chatMessage(whole(itemEntries(0, message, [])), false)).toEqual({
      ...plain,
      content: "",
    });
  });
});
